"""Felix as it runs on this node, found without being told where."""

from __future__ import annotations

import dataclasses
import enum
import pathlib
from collections.abc import Mapping

from collector.counters import tables
from collector.ebpf import source as ebpf
from collector.felix import build, processes
from collector.netlink import sockets
from collector.nflog import owners

SOCKET = pathlib.Path("/var/run/calico/flows/flows.sock")
"""Where Felix looks for somebody to report to (felix/collector/local/server.go)."""
_TABLE = "calico"
_TRUE = ("true", "1", "yes", "y", "t")  # felix/config/param_types.go


class Dataplane(enum.StrEnum):
    """With what Felix does its work."""

    EBPF = "ebpf"
    NFTABLES = "nftables"
    IPTABLES = "iptables"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Felix:
    """What is known of it.

    Attributes:
        evidence: How we know that it runs here.
        dataplane: Its mode.
        version: Of Calico, as ``v3.31.0``; ``unknown`` where its program does not tell.
        parameters: What its environment sets, by name in small letters; None where that may not be read. What
            FelixConfiguration sets is not among them.
        reads_log: Whether somebody reads the NFLOG groups that are Felix's.
        has_socket: Whether somebody offers the socket that it reports to.
    """

    evidence: str
    dataplane: Dataplane
    version: str
    parameters: Mapping[str, str] | None
    reads_log: bool
    has_socket: bool

    def __str__(self) -> str:
        """``Felix runs here as process 42 (v3.31.0, nftables)``."""
        version = "its version is unknown" if self.version == UNKNOWN else self.version
        return f"{self.evidence} ({version}, {self.dataplane.value})"

    def setting(self, name: str) -> str:
        """What its environment says of a parameter; empty where it says nothing."""
        return (self.parameters or {}).get(name.lower(), "")

    @property
    def has_flow_logs(self) -> bool | None:
        """Whether it logs flows at all; None where nobody can tell without FelixConfiguration.

        With flow logs on it reads its NFLOG groups, and else it does not, but in the eBPF dataplane
        (felix/config/config_params.go, FlowLogsEnabled).
        """
        if self.setting("FlowLogsGoldmaneServer") or self._reporter == "enabled" or self.reads_log:
            return True
        return None if self.parameters is None or self.dataplane is Dataplane.EBPF else False

    @property
    def reports_locally(self) -> bool | None:
        """Whether it reports flows to a socket on this node; None where FelixConfiguration decides that."""
        if self._reporter:
            return self._reporter == "enabled"
        return False if self.has_flow_logs is False else None

    @property
    def refuses_to_report(self) -> bool:
        """Whether its environment keeps it from reporting, whatever FelixConfiguration says."""
        return self._reporter == "disabled"

    @property
    def _reporter(self) -> str:
        return self.setting("FlowLogsLocalReporter").lower()


UNKNOWN = "unknown"


def find(
    namespace: pathlib.Path | None,
    bpf_folder: pathlib.Path | None,
    *,
    processes_in: pathlib.Path = processes.PROCESSES,
    socket: pathlib.Path = SOCKET,
) -> Felix | None:
    """Felix in a network namespace; None where nothing says that it runs there.

    Its environment and its program can be seen from the host's PID namespace only.

    Args:
        namespace: None for the one that we are in.
        bpf_folder: Where its eBPF dataplane pins maps.
        processes_in: Where the kernel shows processes.
        socket: Where it looks for somebody to report to.

    Raises:
        SetupError: If there is no such namespace, or no right to enter it.
    """
    try:
        network = (namespace or processes_in / "thread-self/ns/net").stat().st_ino
    except OSError:  # nobody can be in a namespace that is not there, of which the next one speaks
        network = 0
    process = processes.find(network, processes_in)
    evidence = f"Felix runs here as process {process}" if process else owners.felix(namespace)
    if not evidence:
        return None
    set_ = processes.parameters(process, processes_in) if process else None
    return Felix(
        evidence=evidence, dataplane=_dataplane(namespace, bpf_folder, set_ or {}),
        version=build.version(processes_in / str(process) / "exe") or UNKNOWN, parameters=set_,
        reads_log=bool(owners.held(namespace) & owners.FELIX_GROUPS), has_socket=socket.is_socket(),
    )  # fmt: skip


def _dataplane(
    namespace: pathlib.Path | None, bpf_folder: pathlib.Path | None, set_: Mapping[str, str]
) -> Dataplane:
    if ebpf.pins(bpf_folder) or set_.get("bpfenabled", "").lower() in _TRUE:
        return Dataplane.EBPF
    try:
        with sockets.within(namespace, sockets.open_netfilter) as opened:
            found = tables.nftables(opened)
    except OSError:  # without the right to ask
        found = []
    return Dataplane.NFTABLES if any(one.name == _TABLE for one in found) else Dataplane.IPTABLES
