"""What a node offers, in namespaces that offer this and that."""

from __future__ import annotations

import errno
import json
import pathlib
import subprocess
import sys

import pytest

from collector import matrix
from collector.ebpf import maps
from collector.nflog import source as nflog
from collector.probe import source as probe
from model import errors
from runtime import settings

RULES = """
table inet firewall {{
  chain input {{
    type filter hook input priority 0;
    udp dport 7001 counter log prefix "{prefix}" group {group} drop
  }}
}}
"""
CALICO = "DPI0|np/shop/web"
EXACT, INFERRED, UNKNOWN = matrix.Known.EXACT, matrix.Known.INFERRED, matrix.Known.UNKNOWN
Told = tuple[matrix.Known, str, str]


def _offers(namespace, **changes: object) -> dict[str, Told]:
    offers = matrix.offers(settings.Collector(netns=str(namespace.path), **changes))
    told = {offer.fact: (offer.known, offer.because, offer.improve) for offer in offers}
    assert len(told) == len(offers)
    return told


NOTHING_HELPS = ("totals by rule", "policy trace")
"""Where no rule counts, and no Felix runs."""


@pytest.mark.net
def test_every_source_has_its_facts(namespace) -> None:
    offers = matrix.offers(settings.Collector(netns=str(namespace.path), sources=()))
    assert [(offer.source, offer.fact) for offer in offers] == [
        ("conntrack", "connections"), ("conntrack", "packets and bytes"), ("conntrack", "begin and end"),
        ("nflog", "deciding rule"), ("counters", "totals by rule"), ("probe", "denied attempts"),
        ("felix", "policy trace"),
    ]  # fmt: skip
    for offer in offers:
        assert offer.because
        assert (offer.known is EXACT) == (not offer.improve) or offer.fact in NOTHING_HELPS


@pytest.mark.net
@pytest.mark.parametrize(("acct", "timestamp"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_switches_of_the_kernel(namespace, acct: int, timestamp: int) -> None:
    namespace.sysctl(acct=acct, timestamp=timestamp)
    told = _offers(namespace)
    for fact, name, on in (
        ("packets and bytes", "nf_conntrack_acct", acct),
        ("begin and end", "nf_conntrack_timestamp", timestamp),
    ):
        assert told[fact] == (
            (EXACT, f"net.netfilter.{name} is on", "") if on else
            (UNKNOWN, f"net.netfilter.{name} is off", f"sysctl -w net.netfilter.{name}=1 (or --set-sysctls)")
        )  # fmt: skip
    assert told["connections"][0] is EXACT


@pytest.mark.net
def test_events_that_are_off_make_connections_inferred(namespace) -> None:
    namespace.sysctl(events=0)
    known, because, improve = _offers(namespace)["connections"]
    assert (known, improve) == (INFERRED, "sysctl -w net.netfilter.nf_conntrack_events=1")
    assert "short ones are missed" in because


@pytest.mark.net
def test_connections_of_ebpf_maps(namespace, pinned) -> None:
    folder = str(pinned.folder)
    assert "the kernel's table" in _offers(namespace, bpf_folder=folder)["connections"][1]
    pinned.create("cali_v4_ct4")
    pinned.create("cali_v6_ct4", (40, 128))
    maps_told = "Calico's eBPF map cali_v4_ct4 (version 4) and cali_v6_ct4 (version 4)"
    because = f"{maps_told}, and the kernel's table for the rest"
    assert _offers(namespace, bpf_folder=folder)["connections"] == (EXACT, because, "")
    pinned.create("cali_v4_ct7")
    problem = "cali_v4_ct7 has version 7, of which only 3 and 4 are known"
    because = f"Calico's eBPF dataplane tracks pods itself, and {problem}; the kernel knows the rest"
    assert _offers(namespace, bpf_folder=folder)["connections"] == (INFERRED, because, "update Flowledger")
    assert _offers(namespace, bpf_folder="")["connections"][0] is EXACT


@pytest.mark.net
def test_ebpf_maps_need_a_right(namespace, pinned, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(command: int, request: object) -> int:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    pinned.create("cali_v4_ct4")
    monkeypatch.setattr(maps, "_call", refuse)
    known, because, improve = _offers(namespace, bpf_folder=str(pinned.folder))["connections"]
    assert (known, improve) == (INFERRED, "run as root")
    assert "reading cali_v4_ct4 needs CAP_BPF" in because


NOT_LOGGED = "--source probe finds denials, but not their rule"
GROUPS = [
    pytest.param({"group": 1}, {}, (EXACT, "rules log to group 1", ""), id="group 1"),
    pytest.param({"group": 2}, {}, (EXACT, "rules log to group 2", ""), id="group 2"),
    pytest.param({"group": 7}, {}, (UNKNOWN, "no rule logs to group 1 or 2", "--nflog-groups 7"),
                 id="another group"),
    pytest.param({"group": 7}, {"nflog_groups": (7,)}, (EXACT, "rules log to group 7", ""),
                 id="another group, asked for"),
    pytest.param(None, {}, (UNKNOWN, "no rule logs to group 1 or 2", NOT_LOGGED), id="no rules"),
    pytest.param({"group": 1}, {"nflog_groups": ()},
                 (UNKNOWN, "not asked for", "--source nflog --nflog-groups GROUP"), id="no groups"),
    pytest.param({"group": 1}, {"sources": ("conntrack",)},
                 (UNKNOWN, "not asked for", "--source nflog --nflog-groups GROUP"), id="no source"),
    pytest.param({"group": 100, "prefix": "DROP by policy shop/web"},
                 {"nflog_groups": (100,), "nflog_grammars": ("kube-router",)},
                 (INFERRED, "these rules log a sample: they are rate limited",
                  "--source probe counts all denials"), id="kube-router"),
    pytest.param({"group": 100, "prefix": "DROP by policy shop/web"}, {"nflog_groups": (100,)},
                 (UNKNOWN, "group 100 is kube-router's and K3s's, whose prefixes are not read",
                  "--nflog-grammars kube-router"), id="kube-router without its grammar"),
]  # fmt: skip


@pytest.mark.net
@pytest.mark.parametrize(("rules", "changes", "expected"), GROUPS)
def test_deciding_rule(
    namespace, rules: dict[str, object] | None, changes: dict[str, object], expected: Told
) -> None:
    if rules:
        namespace.nft(RULES.format(**{"prefix": CALICO} | rules))
    assert _offers(namespace, **changes)["deciding rule"] == expected


@pytest.mark.net
def test_group_that_is_held_is_named(namespace) -> None:
    namespace.nft(RULES.format(prefix=CALICO, group=2))
    held = nflog.Source(namespace.path, (2,), receive_buffer=1 << 16, capacity=100)
    try:
        known, because, improve = _offers(namespace)["deciding rule"]
    finally:
        held.close()
    assert (known, because) == (UNKNOWN, "another process reads group 2")
    assert improve == "choose others with --nflog-groups"
    assert _offers(namespace)["deciding rule"][0] is EXACT


@pytest.mark.net
def test_felix_has_its_groups_to_itself(namespace, felix: int) -> None:
    namespace.nft(RULES.format(prefix=CALICO, group=1))
    known, because, improve = _offers(namespace)["deciding rule"]
    assert (known, because) == (
        UNKNOWN, f"Felix runs here as process {felix}; groups 1 and 2 are left to it"
    )  # fmt: skip
    assert improve == "collect --source conntrack --source counters --source probe"


@pytest.mark.net
@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        pytest.param(CALICO, (EXACT, "1 rules count", ""), id="place is known"),
        pytest.param("mine", (INFERRED, "1 rules count; the place of 1 is a guess", "--manifests FOLDER"),
                     id="place is not known"),
        pytest.param(None, (UNKNOWN, "no rule here counts what it accepts or drops", ""), id="no rules"),
    ],
)  # fmt: skip
def test_totals_by_rule(namespace, prefix: str | None, expected: Told) -> None:
    if prefix:
        namespace.nft(RULES.format(prefix=prefix, group=1))
    assert _offers(namespace)["totals by rule"] == expected


@pytest.mark.net
def test_totals_need_nft(namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    namespace.nft(RULES.format(prefix=CALICO, group=1))
    monkeypatch.setenv("PATH", "/nowhere")
    assert _offers(namespace)["totals by rule"] == (UNKNOWN, "nft missing", "install nft")


@pytest.mark.net
@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (("conntrack",), (UNKNOWN, "not asked for", "--source probe")),
        (("conntrack", "probe"), (EXACT, "attempts that vanish between prerouting and postrouting", "")),
    ],
    ids=["not asked for", "asked for"],
)
def test_denied_attempts(namespace, sources: tuple[str, ...], expected: Told) -> None:
    assert _offers(namespace, sources=sources)["denied attempts"] == expected


PATCH = (
    "kubectl patch felixconfiguration default --type merge -p "
    """'{"spec":{"flowLogsLocalReporter":"Enabled","flowLogsFlushInterval":"15s"}}'"""
)
ASKED = ("conntrack", "felix")
VARIABLE = "FELIX_FLOWLOGSLOCALREPORTER"
REPORTED = [
    pytest.param({VARIABLE: "Enabled"}, ASKED, EXACT, "and reports to a socket here", "", id="asked for"),
    pytest.param({VARIABLE: "Enabled"}, ("conntrack",), UNKNOWN, "not asked for, though Felix runs here",
                 "--source felix", id="not asked for"),
    pytest.param({}, ASKED, UNKNOWN, "; its flow logs are off", PATCH, id="off"),
    pytest.param({"FELIX_FLOWLOGSGOLDMANESERVER": "goldmane:7443"}, ASKED, UNKNOWN,
                 "; whether it reports to a socket here is not seen", PATCH, id="to Goldmane"),
    pytest.param({VARIABLE: "Disabled"}, ASKED, UNKNOWN, "whose environment forbids to report here",
                 f"take {VARIABLE} out of calico-node's environment", id="forbidden"),
]  # fmt: skip


@pytest.mark.net
@pytest.mark.parametrize(("environment", "sources", "known", "said", "improve"), REPORTED)
def test_policy_trace(
    namespace, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], sources: tuple[str, ...],
    known: matrix.Known, said: str, improve: str,
) -> None:  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with namespace.process("calico-felix") as process:
        told = _offers(namespace, sources=sources)["policy trace"]
    assert told == (known, told[1], improve)
    assert said in told[1]
    assert f"Felix runs here as process {process} (its version is unknown, iptables)" in told[1]


@pytest.mark.net
def test_policy_trace_without_felix(namespace) -> None:
    assert _offers(namespace, sources=ASKED)["policy trace"] == (UNKNOWN, "no Felix is seen here", "")


@pytest.mark.net
def test_looking_leaves_nothing_behind(namespace) -> None:
    namespace.nft(RULES.format(prefix=CALICO, group=1))
    ruleset, opened = namespace.run("nft", "list", "ruleset"), namespace.netfilter_sockets()
    _offers(namespace, sources=("conntrack", "nflog", "counters", "probe"))
    assert namespace.run("nft", "list", "ruleset") == ruleset
    assert namespace.netfilter_sockets() == opened
    probe.Source(namespace.path).close()


WITHOUT_RIGHT = """
import json
from collector import matrix
from runtime import settings
wanted = settings.Collector(sources=("conntrack", "nflog", "counters", "probe"))
print(json.dumps([(offer.fact, offer.known, offer.improve) for offer in matrix.offers(wanted)]))
"""


@pytest.mark.net
def test_without_the_right_nothing_is_known(namespace) -> None:
    namespace.nft(RULES.format(prefix=CALICO, group=1))
    done = namespace.within(lambda: subprocess.run(
        ["setpriv", "--bounding-set=-net_admin", sys.executable, "-c", WITHOUT_RIGHT],
        capture_output=True, text=True, check=True,
    ))  # fmt: skip
    told = json.loads(done.stdout)
    assert len(told) == 7
    for fact, known, improve in told:
        expected = "" if fact == "policy trace" else "run as root"
        assert (known, improve) == ("unknown", expected), fact


def test_namespace_that_is_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.SetupError, match="cannot enter network namespace"):
        matrix.offers(settings.Collector(netns=str(tmp_path / "nothing")))
