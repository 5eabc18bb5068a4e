"""Felix on nodes that are made up: a folder that looks like /proc, and a network namespace."""

from __future__ import annotations

import pathlib
import socket

import pytest

from collector.felix import node
from collector.nflog import source as nflog

pytestmark = pytest.mark.net

GOLDMANE = {"FLOWLOGSGOLDMANESERVER": "goldmane.calico-system.svc:7443", "FLOWLOGSFLUSHINTERVAL": "15"}


class Machine:
    """Processes in a namespace, of which one may be Felix."""

    def __init__(self, namespace, folder: pathlib.Path) -> None:
        self._namespace, self._folder = namespace, folder

    def felix(self, environment: dict[str, str] | None, *words: str) -> None:
        """Start it, with these parameters in its environment; None for one that may not be read."""
        made = self._folder / "proc/42"
        (made / "ns").mkdir(parents=True)
        (made / "cmdline").write_bytes("\0".join((*(words or ("calico-node", "-felix")), "")).encode())
        (made / "ns/net").symlink_to(self._namespace.path)
        if environment is not None:
            pairs = [f"FELIX_{name}={value}\0".encode() for name, value in environment.items()]
            (made / "environ").write_bytes(b"PATH=/bin\0" + b"".join(pairs))

    def find(self, maps: pathlib.Path | None = None) -> node.Felix | None:
        """What is found of it."""
        return node.find(
            self._namespace.path, maps, processes_in=self._folder / "proc", socket=self._folder / "flows.sock"
        )


@pytest.fixture
def machine(namespace, tmp_path: pathlib.Path) -> Machine:
    (tmp_path / "proc").mkdir()
    return Machine(namespace, tmp_path)


def test_no_felix(machine: Machine) -> None:
    assert machine.find() is None


@pytest.mark.parametrize("words", [("calico-node", "-felix"), ("/usr/bin/calico", "component", "felix")])
def test_felix_with_nothing_set(machine: Machine, words: tuple[str, ...]) -> None:
    machine.felix({}, *words)
    assert machine.find() == node.Felix(
        evidence="Felix runs here as process 42", dataplane=node.Dataplane.IPTABLES, version="unknown",
        parameters={}, reads_log=False, has_socket=False,
    )  # fmt: skip
    assert str(machine.find()) == "Felix runs here as process 42 (its version is unknown, iptables)"


def test_felix_of_which_only_traces_are_seen(machine: Machine, namespace) -> None:
    with namespace.process("calico-felix") as process:
        found = machine.find()
    assert found
    assert (found.evidence, found.parameters) == (f"Felix runs here as process {process}", None)


FLOW_LOGS = [
    pytest.param({}, False, False, False, id="nothing set, and nothing read"),
    pytest.param({}, True, True, None, id="nothing set, but NFLOG is read"),
    pytest.param(GOLDMANE, False, True, None, id="Goldmane"),
    pytest.param(GOLDMANE | {"FLOWLOGSLOCALREPORTER": "Enabled"}, False, True, True, id="both"),
    pytest.param({"FLOWLOGSLOCALREPORTER": "Enabled"}, False, True, True, id="local reporter"),
    pytest.param({"FLOWLOGSLOCALREPORTER": "disabled"}, True, True, False, id="no local reporter"),
    pytest.param({"BPFENABLED": "true"}, False, None, None, id="eBPF, which reads no NFLOG"),
    pytest.param(None, False, None, None, id="unreadable"),
]


@pytest.mark.parametrize(("environment", "is_read", "has_flow_logs", "reports_locally"), FLOW_LOGS)
def test_flow_logs(
    machine: Machine, namespace, environment: dict[str, str] | None, is_read: bool,
    has_flow_logs: bool | None, reports_locally: bool | None,
) -> None:  # fmt: skip
    machine.felix(environment)
    reading = nflog.Source(namespace.path, (1, 2) if is_read else (), receive_buffer=1 << 16, capacity=100)
    try:
        found = machine.find()
    finally:
        reading.close()
    assert found
    assert (found.reads_log, found.has_flow_logs, found.reports_locally) == (
        is_read, has_flow_logs, reports_locally,
    )  # fmt: skip
    assert found.refuses_to_report == ((environment or {}).get("FLOWLOGSLOCALREPORTER") == "disabled")


def test_setting(machine: Machine) -> None:
    machine.felix(GOLDMANE)
    found = machine.find()
    assert found
    assert (found.setting("FlowLogsFlushInterval"), found.setting("BPFEnabled")) == ("15", "")


def test_dataplane_with_nftables(machine: Machine, namespace) -> None:
    machine.felix({})
    namespace.nft("table ip filter {}")
    assert machine.find().dataplane is node.Dataplane.IPTABLES
    namespace.nft("table ip calico {}")
    assert machine.find().dataplane is node.Dataplane.NFTABLES


def test_dataplane_with_ebpf(machine: Machine, namespace, tmp_path: pathlib.Path) -> None:
    machine.felix({})
    namespace.nft("table ip calico {}")
    maps = tmp_path / "maps"
    maps.mkdir()
    assert machine.find(maps).dataplane is node.Dataplane.NFTABLES
    (maps / "cali_v4_ct4").touch()
    assert machine.find(maps).dataplane is node.Dataplane.EBPF


@pytest.mark.parametrize(("said", "is_on"), [("true", True), ("YES", True), ("0", False), ("false", False)])
def test_dataplane_with_ebpf_by_its_environment(machine: Machine, said: str, is_on: bool) -> None:
    machine.felix({"BPFENABLED": said})
    assert (machine.find().dataplane is node.Dataplane.EBPF) == is_on


def test_version(machine: Machine, tmp_path: pathlib.Path) -> None:
    machine.felix({})
    info = b'build\t-ldflags="-X github.com/projectcalico/calico/pkg/buildinfo.Version=v3.31.0"\n'
    (tmp_path / "proc/42/exe").write_bytes(_program(info))
    found = machine.find()
    assert found
    assert found.version == "v3.31.0"
    assert str(found) == "Felix runs here as process 42 (v3.31.0, iptables)"


def _program(info: bytes) -> bytes:
    """The least of an ELF file: two sections, of which one has their names."""
    names = b".go.buildinfo\0"
    head = (
        b"\x7fELF\x02\x01".ljust(40, b"\0") + (64).to_bytes(8, "little") + bytes(10) + b"\x40\0\x02\0\x01\0"
    )
    sections = [
        bytes(24) + at.to_bytes(8, "little") + size.to_bytes(8, "little") + bytes(24)
        for at, size in ((192, len(info)), (192 + len(info), len(names)))
    ]
    return head + b"".join(sections) + info + names


def test_socket(machine: Machine, tmp_path: pathlib.Path) -> None:
    machine.felix({})
    with socket.socket(socket.AF_UNIX) as offered:
        offered.bind(str(tmp_path / "flows.sock"))
        assert machine.find().has_socket
    (tmp_path / "flows.sock").unlink()
    (tmp_path / "flows.sock").touch()
    assert not machine.find().has_socket
