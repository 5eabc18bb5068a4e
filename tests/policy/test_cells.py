"""Addresses in cells, against the library's own networks."""

from __future__ import annotations

import ipaddress

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model import address
from policy import cells

NETWORKS = st.builds(
    lambda text, length: ipaddress.ip_network((text, length), strict=False),
    st.sampled_from(["0.0.0.0", "10.0.0.0", "10.0.0.77", "255.255.255.255"]), st.integers(0, 32),
) | st.builds(
    lambda text, length: ipaddress.ip_network((text, length), strict=False),
    st.sampled_from(["::", "::ffff:a00:1", "2001:db8::", "ffff::ffff"]), st.integers(0, 128),
)  # fmt: skip
TEXTS = (
    "0.0.0.0", "10.0.0.0", "10.0.0.76", "10.0.0.77", "10.0.0.78", "10.255.0.0", "255.255.255.255", "::",
    "::1",
    "2001:db8::", "2001:db8::1", "ffff::ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
)  # fmt: skip


@given(st.lists(NETWORKS, max_size=6))
def test_cells_are_within_what_their_addresses_are_within(networks: list[ipaddress.IPv4Network]) -> None:
    made = cells.Cells(networks)
    packed = np.frombuffer(b"".join(map(address.pack, TEXTS)), np.uint8).reshape(-1, 16)
    found = made.find(packed)
    addresses = [ipaddress.ip_address(text) for text in TEXTS]
    assert made.families[found].tolist() == [one.version for one in addresses]
    for some in (tuple(networks), *((one,) for one in networks)):
        expected = [any(one in network for network in some) for one in addresses]
        assert made.within(some)[found].tolist() == expected


def test_without_networks_there_are_but_families() -> None:
    assert set(cells.Cells([]).families.tolist()) == {4, 6}
