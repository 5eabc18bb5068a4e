"""What this node offers: what each source can give here, what that rests on, and how to have more."""

from __future__ import annotations

import dataclasses
import enum
import pathlib
from collections.abc import Iterator

from collector import sysctls
from collector.conntrack import statistics
from collector.counters import source as counters
from collector.ebpf import source as ebpf
from collector.felix import node as felix_node
from collector.netlink import sockets
from collector.nflog import grammars, owners
from model import errors, kuberouter
from runtime import settings

_KUBE_ROUTER = kuberouter.NFLOG_GROUP
_REPORT = (
    "kubectl patch felixconfiguration default --type merge "
    """-p '{"spec":{"flowLogsLocalReporter":"Enabled","flowLogsFlushInterval":"15s"}}'"""
)
"""Makes each node's Felix report flows to a socket there, four times a minute."""
_EVENTS = pathlib.Path("/proc/sys/net/netfilter/nf_conntrack_events")


class Known(enum.StrEnum):
    """How well a fact is known."""

    EXACT = "exact"
    INFERRED = "inferred"
    """A sample, or drawn from something else."""
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One fact that a source gives.

    Attributes:
        source: Name of the source.
        fact: What it gives.
        known: How well, on this node and with these settings.
        because: Why.
        improve: The command or setting that would make more of it; empty where nothing would.
    """

    source: str
    fact: str
    known: Known
    because: str
    improve: str = ""


def offers(configured: settings.Collector) -> list[Offer]:
    """All facts of all sources, whether the settings ask for them or not."""
    namespace = pathlib.Path(configured.netns) if configured.netns else None
    counted, problem = _counted(namespace)
    return [
        *_connections(namespace, _bpf_folder(configured)),
        *_rules(namespace, configured, counted),
        *_totals(counted, problem),
        *_denied(configured),
        _reported(namespace, configured),
    ]


def _bpf_folder(configured: settings.Collector) -> pathlib.Path | None:
    return pathlib.Path(configured.bpf_folder) if configured.bpf_folder else None


def _connections(namespace: pathlib.Path | None, bpf_folder: pathlib.Path | None) -> Iterator[Offer]:
    facts = ("connections", "packets and bytes", "begin and end")
    try:
        off = sysctls.missing(namespace, set_them=False)
        with sockets.within(namespace, sockets.open_netfilter) as opened:
            state = statistics.read(opened)
        events = sockets.within(namespace, lambda: _EVENTS.read_text().strip() if _EVENTS.exists() else "1")
    except errors.SetupError as error:
        for fact in facts:
            yield Offer(source="conntrack", fact=fact, known=Known.UNKNOWN, because=str(error))
        return
    except OSError as error:
        because = f"the kernel does not show its table ({error.strerror})"
        for fact in facts:
            yield Offer(
                source="conntrack", fact=fact, known=Known.UNKNOWN, because=because, improve="run as root"
            )
        return
    yield _mapped(bpf_folder) or _living(state, events)
    for fact, name in zip(facts[1:], (sysctls.ACCOUNTING, sysctls.TIMESTAMPS), strict=True):
        yield Offer(
            source="conntrack", fact=fact, known=Known.UNKNOWN if name in off else Known.EXACT,
            because=f"net.netfilter.{name} is {'off' if name in off else 'on'}",
            improve=f"sysctl -w net.netfilter.{name}=1 (or --set-sysctls)" if name in off else "",
        )  # fmt: skip


def _mapped(folder: pathlib.Path | None) -> Offer | None:
    """What Calico's eBPF dataplane has; None where there is none."""
    found = ebpf.pins(folder)
    if not found or folder is None:
        return None

    def offer(known: Known, because: str, improve: str = "") -> Offer:
        return Offer(source="conntrack", fact="connections", known=known, because=because, improve=improve)

    for pin in found:
        try:
            ebpf.check(folder, pin)
        except errors.SetupError as error:
            because = f"Calico's eBPF dataplane tracks pods itself, and {error}; the kernel knows the rest"
            is_right = isinstance(error.__cause__, PermissionError)
            return offer(Known.INFERRED, because, "run as root" if is_right else "update Flowledger")
    names = " and ".join(f"{pin.name} (version {pin.version})" for pin in found)
    return offer(Known.EXACT, f"Calico's eBPF map {names}, and the kernel's table for the rest")


def _living(state: statistics.Statistics, events: str) -> Offer:
    if events == "0":
        return Offer(
            source="conntrack", fact="connections", known=Known.INFERRED,
            because="the kernel announces no end of a connection: short ones are missed",
            improve="sysctl -w net.netfilter.nf_conntrack_events=1",
        )  # fmt: skip
    if not state.entries:
        return Offer(
            source="conntrack", fact="connections", known=Known.EXACT,
            because="the kernel's table, which is empty: it tracks only where a rule asks for it",
        )  # fmt: skip
    return Offer(
        source="conntrack", fact="connections", known=Known.EXACT,
        because=f"the kernel's table ({state.entries} of {state.limit}) and an event for each end"
        + (", but for those that are older than we are" if events == "2" else ""),
    )  # fmt: skip


def _rules(
    namespace: pathlib.Path | None, configured: settings.Collector, counted: counters.Counted | None
) -> Iterator[Offer]:
    def offer(known: Known, because: str, improve: str = "") -> Offer:
        return Offer(source="nflog", fact="deciding rule", known=known, because=because, improve=improve)

    felix, held = owners.felix(namespace), owners.held(namespace)
    groups = owners.free(namespace, configured.nflog_groups)
    logged = sorted({int(group) for group in counted.nflog_group if group >= 0}) if counted else []
    if "nflog" not in configured.sources or not configured.nflog_groups:
        yield offer(Known.UNKNOWN, "not asked for", "--source nflog --nflog-groups GROUP")
    elif not sockets.is_capable():
        yield offer(Known.UNKNOWN, "reading what rules log needs CAP_NET_ADMIN", "run as root")
    elif not groups:
        yield offer(
            Known.UNKNOWN, f"{felix}; groups 1 and 2 are left to it",
            "collect --source conntrack --source counters --source probe",
        )  # fmt: skip
    elif taken := sorted(held & set(groups)):
        yield offer(
            Known.UNKNOWN, f"another process reads group {taken[0]}", "choose others with --nflog-groups"
        )
    elif not set(logged) & set(groups):
        other = ",".join(map(str, logged))
        yield offer(
            Known.UNKNOWN, f"no rule logs to group {' or '.join(map(str, groups))}",
            f"--nflog-groups {other}" if other else "--source probe finds denials, but not their rule",
        )  # fmt: skip
    elif _KUBE_ROUTER in groups and "kube-router" not in configured.nflog_grammars:
        yield offer(
            Known.UNKNOWN, f"group {_KUBE_ROUTER} is kube-router's and K3s's, whose prefixes are not read",
            "--nflog-grammars kube-router",
        )  # fmt: skip
    elif any(one.sampled for one in grammars.chosen(configured.nflog_grammars, configured.nflog_pattern)):
        yield offer(
            Known.INFERRED,
            "these rules log a sample: they are rate limited",
            "--source probe counts all denials",
        )
    else:
        yield offer(
            Known.EXACT, f"rules log to group {', '.join(map(str, sorted(set(logged) & set(groups))))}"
        )


def _counted(namespace: pathlib.Path | None) -> tuple[counters.Counted | None, str]:
    try:
        return counters.Source(namespace, {}, {}).read(), ""
    except (errors.SetupError, OSError) as error:
        return None, str(error)


def _totals(counted: counters.Counted | None, problem: str) -> Iterator[Offer]:
    def offer(known: Known, because: str, improve: str = "") -> Offer:
        return Offer(source="counters", fact="totals by rule", known=known, because=because, improve=improve)

    if counted is None:
        yield offer(Known.UNKNOWN, problem, "run as root")
    elif counted.unreadable and not sockets.is_capable():
        yield offer(Known.UNKNOWN, "reading rules needs CAP_NET_ADMIN", "run as root")
    elif not counted.hits:
        missing = " and ".join(counted.unavailable)
        because = f"{missing} missing" if missing else "no rule here counts what it accepts or drops"
        yield offer(Known.UNKNOWN, because, f"install {missing}" if missing else "")
    elif counted.exact.all():
        yield offer(Known.EXACT, f"{len(counted.hits)} rules count")
    else:
        guessed = int((~counted.exact).sum())
        yield offer(
            Known.INFERRED, f"{len(counted.hits)} rules count; the place of {guessed} is a guess",
            "--manifests FOLDER",
        )  # fmt: skip


def _denied(configured: settings.Collector) -> Iterator[Offer]:
    def offer(known: Known, because: str, improve: str = "") -> Offer:
        return Offer(source="probe", fact="denied attempts", known=known, because=because, improve=improve)

    if not sockets.is_capable():
        yield offer(Known.UNKNOWN, "a table of our own needs CAP_NET_ADMIN", "run as root")
    elif "probe" in configured.sources:
        yield offer(Known.EXACT, "attempts that vanish between prerouting and postrouting")
    else:
        yield offer(Known.UNKNOWN, "not asked for", "--source probe")


def _reported(namespace: pathlib.Path | None, configured: settings.Collector) -> Offer:
    """What Calico's own agent can tell of the flows that it has logged."""

    def offer(known: Known, because: str, improve: str = "") -> Offer:
        return Offer(source="felix", fact="policy trace", known=known, because=because, improve=improve)

    felix = felix_node.find(namespace, _bpf_folder(configured))
    if felix is None:
        return offer(Known.UNKNOWN, "no Felix is seen here")
    if felix.reports_locally and "felix" in configured.sources:
        return offer(Known.EXACT, f"{felix} and reports to a socket here")
    if felix.reports_locally:
        return offer(
            Known.UNKNOWN, f"not asked for, though {felix} and reports to a socket here", "--source felix"
        )
    if felix.refuses_to_report:
        variable = "FELIX_FLOWLOGSLOCALREPORTER"
        because = f"{felix}, whose environment forbids to report here"
        return offer(Known.UNKNOWN, because, f"take {variable} out of calico-node's environment")
    if felix.reports_locally is None:
        return offer(Known.UNKNOWN, f"{felix}; whether it reports to a socket here is not seen", _REPORT)
    return offer(Known.UNKNOWN, f"{felix}; its flow logs are off", _REPORT)
