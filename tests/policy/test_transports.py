"""What rules say about packets beside their addresses."""

from __future__ import annotations

import numpy as np
import pytest

from policy import objects, transports

TCP, UDP, ICMP = 6, 17, 1
NAMES = transports.NameSets([{}, {(TCP, 80): frozenset({"http", "web"}), (UDP, 53): frozenset({"dns"})}])

ROWS = {
    "http": (4, TCP, 1000, 80, 0, 0), "https": (4, TCP, 1000, 443, 0, 0), "dns": (6, UDP, 53, 53, 0, 0),
    "ping": (4, ICMP, 0, 0, 8, 0), "unreachable": (4, ICMP, 0, 0, 3, 1),
}  # fmt: skip


def _packets() -> transports.Packets:
    family, protocol, src, dst, icmp_type, icmp_code = np.array(list(ROWS.values()), np.int32).T
    ours, nobodys = np.full(len(ROWS), 1), np.zeros(len(ROWS), np.int32)
    return transports.Packets(
        family=family, protocol=protocol, src_port=src, dst_port=dst, icmp_type=icmp_type,
        icmp_code=icmp_code, src_names=nobodys, dst_names=NAMES.find(ours, protocol, dst),
    )  # fmt: skip


def _ports(first: int, last: int = 0) -> tuple[objects.PortRange, ...]:
    return (objects.PortRange(first, last or first),)


ALL = set(ROWS)


@pytest.mark.parametrize(
    ("transport", "matched"),
    [
        pytest.param(transports.ANY, ALL, id="anything"),
        pytest.param(transports.Transport(protocol=TCP), {"http", "https"}, id="protocol"),
        pytest.param(transports.Transport(not_protocol=TCP), ALL - {"http", "https"}, id="not protocol"),
        pytest.param(transports.Transport(ip_version=6), {"dns"}, id="version"),
        pytest.param(transports.Transport(icmp=objects.Icmp(type=8)), {"ping"}, id="ICMP type"),
        pytest.param(transports.Transport(icmp=objects.Icmp(type=3, code=0)), set(), id="ICMP code"),
        pytest.param(transports.Transport(protocol=ICMP, not_icmp=objects.Icmp(type=3, code=1)), {"ping"},
                     id="not ICMP"),
        pytest.param(transports.Transport(destination=transports.Side(ports=_ports(53, 80))),
                     {"http", "dns"}, id="range"),
        pytest.param(transports.Transport(source=transports.Side(ports=_ports(53))), {"dns"}, id="source"),
        pytest.param(transports.Transport(destination=transports.Side(names=("web", "dns"))), {"http", "dns"},
                     id="names"),
        pytest.param(transports.Transport(source=transports.Side(names=("dns",))), set(),
                     id="source has no names"),
        pytest.param(transports.Transport(protocol=TCP, destination=transports.Side(not_ports=_ports(443))),
                     {"http"}, id="not ports"),
        pytest.param(transports.Transport(protocol=TCP, destination=transports.Side(not_names=("http",))),
                     {"https"}, id="not names"),
    ],
)  # fmt: skip
def test_transport_matches(transport: transports.Transport, matched: set[str]) -> None:
    found = transports.matching(transport, _packets(), NAMES)
    assert {name for name, is_there in zip(ROWS, found.tolist(), strict=True) if is_there} == matched


def test_ports_are_cut_where_ranges_begin_and_end() -> None:
    side = transports.Side(ports=_ports(80, 90), not_ports=_ports(443))
    assert transports.cuts([transports.Transport(source=side)]).tolist() == [0, 80, 91, 443, 444]
    assert transports.cuts([transports.ANY]).tolist() == [0]


def test_ports_without_names_have_none() -> None:
    none = transports.NameSets([{}])
    assert none.find(np.zeros(2, np.int32), np.array([TCP, UDP]), np.array([80, 53])).tolist() == [0, 0]
    assert (len(none), none.having(["http"]).tolist()) == (1, [False])


def test_some_of_the_packets() -> None:
    assert _packets().take(np.array([2])).protocol.tolist() == [UDP]
