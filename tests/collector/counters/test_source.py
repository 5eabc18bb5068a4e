"""Rule counters of real rulesets, under real packets."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from collector.counters import rules, source
from model import enums, errors, policyhit
from policy import prefixes

pytestmark = pytest.mark.net

BACK_ENDS = pytest.mark.parametrize("back_end", ["legacy", "nft"])
INGRESS, EGRESS = enums.Direction.INGRESS, enums.Direction.EGRESS
ALLOW, DENY = enums.Action.ALLOW, enums.Action.DENY
IP_UDP = 28  # bytes of headers


class Reader:
    """A source, and all that it counted."""

    def __init__(self, path: pathlib.Path, *known: Any) -> None:
        self.source = source.Source(path, *(known or ({}, {})))
        self.last = self.source.read()
        self.packets: Counter[policyhit.PolicyHit] = Counter()
        self.bytes: Counter[policyhit.PolicyHit] = Counter()
        self.resets = 0

    def read(self) -> dict[policyhit.PolicyHit, int]:
        """Read once more; the packets that were new, by hit."""
        self.last = self.source.read()
        self.resets += self.last.resets
        new = {
            hit: int(count)
            for hit, count in zip(self.last.hits, self.last.packets, strict=True)
            if count
        }  # fmt: skip
        self.packets += Counter(new)
        sizes = zip(self.last.hits, self.last.bytes, strict=True)
        self.bytes += Counter({hit: int(size) for hit, size in sizes})
        return new

    def until(self, expected: dict[policyhit.PolicyHit, int]) -> None:
        """Read until all of this has been counted since the last time; a packet may still be on its way."""
        self.packets.clear()
        deadline = time.monotonic() + 2
        while self.read() is not None and self.packets != expected and time.monotonic() < deadline:
            time.sleep(0.02)
        assert self.packets == expected
        self.read()
        assert self.packets == expected, "something is counted twice"


def test_lab_rules_in_nftables_count_by_hit(
    node: Any, known: Any, calico_nft: Callable[[int], str], expected_in_lab: Any
) -> None:
    node.run("nft", "-f", "-", text=calico_nft(4) + calico_nft(6))
    reader = Reader(node.path, *known)
    node.talk()
    node.talk(6)
    node.send("web-0", 6010, 4, 6)
    reader.until(expected_in_lab)
    assert reader.last.exact.all()
    assert reader.last.unreadable == 0
    by_direction = {h.direction: g for h, g in zip(reader.last.hits, reader.last.nflog_group, strict=True)}
    assert by_direction == {INGRESS: 1, EGRESS: 2}
    assert reader.last.nflog.all()
    assert set(reader.last.hits) <= set(known[0].values())


@pytest.fixture
def expected_in_lab(generations: Any) -> dict[policyhit.PolicyHit, int]:
    """Both families' traffic together; in the lab each pod has its namespace's profile."""
    once = generations["3.32 with flow logs"].expected()
    twice = {hit: 2 * count for hit, count in once.items() if hit.kind != policyhit.NO_PROFILE}
    ops = prefixes.end_of_tier("ops", INGRESS, enums.Action.PASS)
    egress = prefixes.profile_hit("shop", EGRESS)
    return twice | {
        prefixes.profile_hit("shop", INGRESS): 2, ops: twice[ops] + 4, egress: twice[egress] + 4, _web(1): 4,
    }  # fmt: skip


@BACK_ENDS
def test_iptables_counts_by_hit(node: Any, known: Any, generation: Any, back_end: str) -> None:
    """In every generation, with either back end, and in both families at once."""
    for command, family in (("iptables", 4), ("ip6tables", 6)):
        node.run(f"{command}-{back_end}-restore", "--noflush", text=generation.render(family))
    reader = Reader(node.path, *known)
    node.talk()
    reader.until(generation.expected())
    assert reader.last.exact.all()
    assert (reader.last.unreadable, reader.resets, reader.last.unavailable) == (0, 0, ())
    assert reader.last.nflog.all() == reader.last.nflog.any() == generation.logs
    assert all(size == (100 + IP_UDP) * reader.packets[hit] for hit, size in reader.bytes.items())
    node.talk(6)
    reader.until(generation.expected())


@BACK_ENDS
def test_unknown_policies_are_known_by_their_comments(node: Any, generation: Any, back_end: str) -> None:
    """Without flow logs, an index is only the place in the chain, and says so."""
    node.run(f"iptables-{back_end}-restore", "--noflush", text=generation.render())
    reader = Reader(node.path)
    node.talk()
    expected = generation.expected()
    deadline = time.monotonic() + 2
    while sum(reader.packets.values()) < sum(expected.values()) and time.monotonic() < deadline:
        reader.read()
    assert _by_name(reader.packets) == _by_name(expected)
    exact = {h: bool(e) for h, e in zip(reader.last.hits, reader.last.exact, strict=True)}
    policies = [h for h in exact if h.kind in ("np", "gnp", policyhit.PROFILE)]
    assert {exact[h] for h in policies} == {generation.logs}
    tiers = {h.tier for h in policies if h.kind == "gnp"}
    if generation.version == "3.32" and generation.logs:
        assert tiers == {""}, "the same hit as the nflog source gives for this prefix"
    elif generation.tiers:
        assert tiers == {"ops"}


def _by_name(packets: Mapping[policyhit.PolicyHit, int]) -> Counter[tuple[str, ...]]:
    """Without what a comment does not tell."""
    summed: Counter[tuple[str, ...]] = Counter()
    for hit, count in packets.items():
        summed[hit.direction, hit.kind, hit.namespace, hit.name, hit.action] += count
    return summed


def test_nothing_is_made_by_looking(node: Any) -> None:
    reader = Reader(node.path)
    assert (reader.last.hits, reader.last.unreadable, reader.last.unavailable) == ([], 0, ())
    assert node.run("cat", "/proc/thread-self/net/ip_tables_names") == ""
    assert node.run("nft", "list", "ruleset") == ""


def test_table_made_again_begins_anew(node: Any, known: Any, calico_nft: Callable[[int], str]) -> None:
    """Also where its counters are further on than before, and its rules have the same handles."""
    node.run("nft", "-f", "-", text=calico_nft(4))
    reader = Reader(node.path, *known)
    node.send("web-0", 53)
    more = _web(0, "more")
    _counted(reader, more, 1)
    node.run("nft", "-f", "-", text=calico_nft(4))
    node.send("web-0", 53, 3)
    _counted(reader, more, 3)
    assert reader.resets > 0


@BACK_ENDS
def test_counter_that_went_back_begins_anew(node: Any, known: Any, generations: Any, back_end: str) -> None:
    text = generations["3.29"].render()
    node.run(f"iptables-{back_end}-restore", text=text)
    reader = Reader(node.path, *known)
    node.send("web-0", 53, 3)
    more = _web(0, "more")
    _counted(reader, more, 3)
    assert reader.resets == 0
    node.run(f"iptables-{back_end}-restore", text=text)
    node.send("web-0", 53, 2)
    _counted(reader, more, 2)
    assert reader.resets > 0


@BACK_ENDS
def test_rewritten_chain_begins_anew(node: Any, known: Any, generations: Any, back_end: str) -> None:
    """Felix writes a chain again from the change on, or whole; hashes before the change stay as they were."""
    text = generations["3.32 without flow logs"].render()
    node.run(f"iptables-{back_end}-restore", text=text)
    reader = Reader(node.path, *known)
    node.send("web-0", 6000, 2)
    node.send("web-0", 7004)
    _counted(reader, _web(3), 1)
    chain = "cali-pi-np/shop/web"
    *before, last, _ = [line for line in text.splitlines() if line.startswith(f"-A {chain} ")]
    changed = [*before, re.sub("cali:....", "cali:new_", last)]
    node.run(
        f"iptables-{back_end}-restore", "--noflush",
        text="\n".join(["*filter", f":{chain} - [0:0]", *changed, "COMMIT", ""]),
    )  # fmt: skip
    node.send("web-0", 6000)
    node.send("web-0", 7004, 2)
    _counted(reader, _web(3), 2)
    assert reader.packets[_web(0)] == 1
    assert reader.resets == 2, "the first counter went back, the last one is another"


def _web(rule: int, name: str = "web") -> policyhit.PolicyHit:
    """The hit of an allow rule of a policy."""
    return policyhit.PolicyHit(
        direction=INGRESS, tier="default", kind="np", namespace="shop", name=name, action=ALLOW, rule=rule
    )


def _counted(reader: Reader, hit: policyhit.PolicyHit, expected: int) -> None:
    """Read until a hit has been counted so often since the last time."""
    reader.packets.clear()
    deadline = time.monotonic() + 2
    while reader.read() is not None and reader.packets[hit] < expected and time.monotonic() < deadline:
        time.sleep(0.02)
    assert reader.packets[hit] == expected


def test_new_table_counts_from_its_start(node: Any, known: Any, calico_nft: Callable[[int], str]) -> None:
    reader = Reader(node.path, *known)
    node.run("nft", "-f", "-", text=calico_nft(4))
    node.send("web-0", 53, 2)
    more = _web(0, "more")
    _counted(reader, more, 2)
    assert reader.resets == 0
    node.run("nft", "delete", "table", "ip", "calico")
    reader.read()
    assert reader.last.hits == []


def test_new_knowledge_changes_names_and_not_counts(
    node: Any, known: Any, calico_nft: Callable[[int], str]
) -> None:
    node.run("nft", "-f", "-", text=calico_nft(4))
    reader = Reader(node.path)
    node.send("web-0", 53, 2)
    time.sleep(0.05)
    reader.read()
    node.send("web-0", 53, 3)
    reader.source.learn(*known)
    more = _web(0, "more")
    _counted(reader, more, 3)
    assert reader.resets == 0


def test_missing_tools_are_named(
    node: Any,
    calico_nft: Callable[[int], str],
    generations: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    node.run("iptables-legacy-restore", text=generations["3.29"].render())
    node.run("iptables-nft-restore", text=generations["3.29"].render())
    node.run("nft", "-f", "-", text=calico_nft(4))
    node.send("web-0", 53)
    with monkeypatch.context() as changed:
        changed.setenv("PATH", str(tmp_path))
        reader = Reader(node.path)
        assert reader.last.unavailable == ("iptables-legacy-save", "iptables-nft-save", "nft")
        assert (reader.last.hits, reader.last.unreadable) == ([], 0)
    assert reader.read() == {}, "a tool that is installed later has no news at first"
    assert reader.last.hits
    assert reader.last.unavailable == ()


def test_failure_of_one_ruleset_is_silence_of_that_one(
    node: Any, calico_nft: Callable[[int], str], monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """Also where the name of another one begins alike, and while a third one goes."""
    mine = "table ip calico-mine { chain c { udp dport 1 counter drop; }; }"
    node.run(
        "nft", "-f", "-", text=f"{calico_nft(4)}\n{mine}\ntable ip gone {{ chain c {{ counter drop; }}; }}"
    )
    reader = Reader(node.path)
    before = len(reader.last.hits)
    node.run("nft", "delete", "table", "ip", "gone")
    node.run("nft", "add", "rule", "ip", "calico", "filter-FORWARD", "counter")
    node.send("web-0", 53)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (tmp_path / "nft").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "nft").chmod(0o755)
    assert reader.read() == {}
    assert (reader.last.unreadable, len(reader.last.hits)) == (1, before - 1)
    (tmp_path / "nft").unlink()
    found = reader.read()
    assert found[dataclasses.replace(_web(0, "more"), tier="")] == 1
    assert reader.last.unreadable == 0


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("exit 1", id="fails"),
        pytest.param("echo '{\"nftables\": 5}'; echo '*filter'", id="talks nonsense"),
        pytest.param("printf '\\377'; echo; echo '*filter'", id="is no text"),
    ],
)
def test_bad_tool_is_counted_and_made_up_for(
    node: Any, known: Any, generations: Any, calico_nft: Callable[[int], str], script: str,
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path,
) -> None:  # fmt: skip
    node.run("iptables-legacy-restore", text=generations["3.29"].render())
    reader = Reader(node.path, *known)
    broken = tmp_path / "tools"
    broken.mkdir()
    for name in ("nft", "iptables-legacy-save"):
        (broken / name).write_text(f"#!/bin/sh\n{script}\n")
        (broken / name).chmod(0o755)
    node.send("web-0", 53, 2)
    with monkeypatch.context() as changed:
        changed.setenv("PATH", str(broken), prepend=":")
        assert reader.read() == {}
        assert reader.last.unreadable == 1
        node.run("/usr/sbin/nft", "-f", "-", text="table ip other { chain c { tcp dport 1 counter drop; }; }")
        assert reader.read() == {}
        assert reader.last.unreadable == 2
    more = _web(0, "more")
    _counted(reader, more, 2)
    assert reader.last.unreadable == 0


def test_absent_namespace_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.SetupError, match="cannot enter network namespace"):
        source.Source(tmp_path / "absent", {}, {}).read()


def test_columns_have_what_was_counted(node: Any, known: Any, calico_nft: Callable[[int], str]) -> None:
    node.run("nft", "-f", "-", text=calico_nft(4))
    reader = Reader(node.path, *known)
    assert reader.last.columns()["name"] == []
    node.send("web-0", 5002, 2)
    guard = next(h for h in known[0].values() if (h.kind, h.rule) == ("gnp", 2))
    _counted(reader, guard, 2)
    columns = reader.last.columns()
    place = columns["action"].index("deny")  # type: ignore[union-attr]
    assert {name: column[place] for name, column in columns.items()} == {
        "direction": "ingress", "tier": "ops", "kind": "gnp", "namespace": "",
        "name": "guard-against-old-things", "action": "deny", "rule": 2, "exact": True, "packets": 2,
        "bytes": 2 * (100 + IP_UDP),
    }  # fmt: skip
    assert isinstance(columns["packets"], np.ndarray)
    assert columns["packets"].dtype == np.uint64


PLAIN = """
table inet firewall {
  chain input {
    type filter hook input priority 0; policy accept;
    udp dport 9 counter log prefix "DPI|default" group 5
    udp dport 9 counter drop comment "no discard"
    udp dport 10 counter reject
    udp dport 11 accept
    jump more
  }
  chain more {
    udp dport 12 counter log prefix "mine" group 6
    udp dport 13 counter log prefix "API3|np/shop/web" group 6 accept
  }
}
"""


def test_plain_rules_are_counted(namespace: Any, known: Any) -> None:
    namespace.nft(PLAIN)
    reader = Reader(namespace.path, *known)
    with namespace.within(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as opened:
        for port in (9, 9, 10, 11, 12, 13):
            opened.sendto(b"x", ("10.0.0.1", port))
    found = {h.render(): n for h, n in reader.read().items()}
    assert found == {
        "ingress|default|end-of-tier|deny|-1": 2,
        "ingress||custom:firewall%2Finput|deny|2": 1,
        "ingress||custom:firewall%2Fmore%2Fmine|pass|0": 1,
        "ingress|default|np:shop/web|allow|3": 1,
    }
    groups = dict(zip((h.name for h in reader.last.hits), reader.last.nflog_group.tolist(), strict=True))
    assert groups == {"": 5, "firewall/input": rules.NO_GROUP, "firewall/more/mine": 6, "web": 6}


def test_kube_router_counts_by_policy(node: Any, kube_router: Any) -> None:
    """What the rate-limited log rule saw is not what was denied."""
    kube_router.load(node)
    reader = Reader(node.path)
    node.talk()
    node.send("web-0", 1, 20)
    expected = kube_router.expected()
    (denied,) = [h for h in expected if h.kind == policyhit.DEFAULT_DENY]
    expected[denied] += 20
    reader.until(expected)
    exact = dict(zip(reader.last.hits, reader.last.exact.tolist(), strict=True))
    groups = dict(zip(reader.last.hits, reader.last.nflog_group.tolist(), strict=True))
    assert (exact[denied], groups[denied]) == (True, 100)
    assert {exact[h] for h in exact if h.kind == "knp"} == {False}
    assert {h.direction for h in exact if h.kind == "knp"} == {INGRESS, EGRESS}
