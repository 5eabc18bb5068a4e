"""Service ports by address, port, protocol and time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from enrich import identity, services
from model import address

TCP, UDP = 6, 17


def _port(
    name: str, port: int = 80, protocol: int = TCP, start: int = 0, end: int = 100
) -> identity.ServicePort:
    return identity.ServicePort(
        address=address.pack("10.96.0.1"), port=port, protocol=protocol, namespace="shop", service=name,
        port_name=f"{name}-port", valid_from=start, valid_to=end,
    )  # fmt: skip


PORTS = [
    _port("old", end=10),
    _port("new", start=10),
    _port("dns", 53, UDP),
    _port("one", 1),
    _port("two", 1),
]


@pytest.mark.parametrize(
    ("port", "protocol", "time", "name"),
    [
        pytest.param(80, TCP, 9, "old", id="before"),
        pytest.param(80, TCP, 10, "new", id="after"),
        pytest.param(80, TCP, 100, "", id="gone"),
        pytest.param(80, UDP, 9, "", id="another protocol"),
        pytest.param(53, UDP, 9, "dns", id="UDP"),
        pytest.param(1, TCP, 9, "", id="two at once"),
    ],
)
def test_address_and_port_stand_for_a_service(port: int, protocol: int, time: int, name: str) -> None:
    known = services.Services(PORTS)
    found = known.find(
        np.frombuffer(address.pack("10.96.0.1"), np.uint8).reshape(1, 16), np.array([port], np.uint16),
        np.array([protocol], np.uint8), np.array([time], np.int64),
    )  # fmt: skip
    wanted = ["shop", name, f"{name}-port"] if name else ["", "", ""]
    assert [array.to_pylist() for array in known.named(found).values()] == [[text] for text in wanted]


@pytest.mark.parametrize(
    ("port", "name"),
    [pytest.param(30080, "anywhere", id="node port"), pytest.param(30081, "", id="another port"),
     pytest.param(80, "", id="a port of an address")],
)  # fmt: skip
def test_port_of_every_node(port: int, name: str) -> None:
    everywhere = dataclasses.replace(_port("anywhere", 30080), address=services.EVERY_NODE)
    known = services.Services([everywhere, _port("here", 80)])
    found = known.find_at_nodes(np.array([port], np.uint16), np.array([TCP], np.uint8), np.zeros(1, np.int64))
    assert known.named(found)["service"].to_pylist() == [name]
