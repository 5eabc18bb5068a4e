"""Who had an address when, judged by a search through every claim."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich import identity, timeline
from model import address, enums

ADDRESSES = ("10.0.0.1", "10.0.0.2", "192.0.2.1", "203.0.113.9", "fd00::1", "2001:db8::1")
CLAIMED = ("10.0.0.1", "203.0.113.9", "2001:db8::1")
NETWORKS = ("10.0.0.0/8", "10.0.0.0/31", "192.0.2.0/24", "0.0.0.0/0", "fd00::/8", "2001:db8::1/128", "::/0")
TIMES = st.integers(-2, 12) | st.sampled_from([-(2**63), identity.FOREVER - 1])


def _pod(name: str) -> identity.Identity:
    return identity.Identity(kind=enums.EndpointKind.POD, namespace="shop", pod=name)


def _claim(text: str, start: int, end: int, who: str) -> identity.Claim:
    return identity.Claim(
        address=address.pack(text), uid=who, identity=_pod(who), valid_from=start, sure_from=start,
        sure_to=end, valid_to=end,
    )  # fmt: skip


def _network(text: str, name: str) -> identity.NetworkName:
    who = identity.Identity(kind=enums.EndpointKind.NETWORK_SET, workload=name)
    return identity.NetworkName(network=text, identity=who, valid_from=0, valid_to=identity.FOREVER)


def _found(who: timeline.Timeline, *wanted: tuple[str, int]) -> list[identity.Identity]:
    packed = np.frombuffer(b"".join(address.pack(text) for text, _ in wanted), np.uint8).reshape(-1, 16)
    codes = who.find(packed, np.array([time for _, time in wanted], np.int64))
    return list(who.identities.some(codes))


def _naive(
    claims: Sequence[identity.Claim], networks: Sequence[identity.NetworkName], text: str, time: int
) -> identity.Identity:
    """Everybody who claims it then; if nobody does, the narrowest network that it is in; else its space."""
    owners = {
        c.identity for c in claims if c.address == address.pack(text) and c.valid_from <= time < c.valid_to
    }
    if owners:
        return owners.pop() if len(owners) == 1 else identity.AMBIGUOUS
    ip = ipaddress.ip_address(text)
    around = [
        name
        for name in networks
        if name.valid_from <= time < name.valid_to and ip in ipaddress.ip_network(name.network)
    ]
    if around:
        return max(around, key=lambda name: ipaddress.ip_network(name.network).prefixlen).identity
    return identity.PRIVATE if text.startswith(("10.", "fd")) else identity.PUBLIC


CLAIMS = st.lists(
    st.builds(
        lambda text, start, length, who: _claim(text, start, min(start + length, identity.FOREVER), who),
        st.sampled_from(CLAIMED),
        st.integers(0, 10),
        st.integers(0, 6) | st.just(identity.FOREVER),
        st.sampled_from("abc"),
    ),
    max_size=12,
)
NAMES = st.lists(st.sampled_from(NETWORKS), unique=True).map(lambda ns: [_network(n, n) for n in ns])


@given(CLAIMS, NAMES, st.lists(st.tuples(st.sampled_from(ADDRESSES), TIMES), max_size=20))
def test_finds_what_a_naive_search_finds(
    claims: list[identity.Claim], networks: list[identity.NetworkName], wanted: list[tuple[str, int]]
) -> None:
    found = _found(timeline.Timeline(claims, networks), *wanted)
    assert found == [_naive(claims, networks, text, time) for text, time in wanted]


NOBODY = identity.PRIVATE


@pytest.mark.parametrize(
    ("spans", "owners"),
    [
        pytest.param([], [NOBODY] * 5, id="nobody"),
        pytest.param([(1, 3, "a")], [NOBODY, _pod("a"), _pod("a"), NOBODY, NOBODY], id="end is not included"),
        pytest.param([(1, 1, "a")], [NOBODY] * 5, id="no time at all"),
        pytest.param([(3, 1, "a")], [NOBODY] * 5, id="ended before it began"),
        pytest.param(
            [(0, 2, "a"), (2, identity.FOREVER, "b")],
            [_pod("a")] * 2 + [_pod("b")] * 3,
            id="handed over without a gap",
        ),
        pytest.param(
            [(0, 1, "a"), (3, 4, "a")],
            [_pod("a"), NOBODY, NOBODY, _pod("a"), NOBODY],
            id="had twice with a gap",
        ),
        pytest.param(
            [(0, 3, "a"), (2, 5, "b")],
            [_pod("a"), _pod("a"), identity.AMBIGUOUS, _pod("b"), _pod("b")],
            id="two at once",
        ),
        pytest.param(
            [(0, 5, "a"), (1, 3, "b")],
            [_pod("a"), identity.AMBIGUOUS, identity.AMBIGUOUS, _pod("a"), _pod("a")],
            id="one within another",
        ),
        pytest.param(
            [(0, 3, "a"), (1, 5, "a")], [_pod("a")] * 5, id="the same identity twice is no conflict"
        ),
        pytest.param([(0, 5, "a"), (2, 2, "b")], [_pod("a")] * 5, id="no time at all is no conflict"),
    ],
)
def test_address_belongs_to_its_claims(
    spans: list[tuple[int, int, str]], owners: list[identity.Identity]
) -> None:
    claims = [_claim("10.0.0.1", start, end, who) for start, end, who in spans]
    assert _found(timeline.Timeline(claims), *(("10.0.0.1", time) for time in range(5))) == owners


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("10.1.0.1", "b", id="longest prefix"),
        pytest.param("10.2.0.1", "a", id="shorter prefix"),
        pytest.param("2001:db8::1", "c", id="IPv6"),
        pytest.param("203.0.113.9", "", id="no IPv4 in an IPv6 network"),
    ],
)
def test_unclaimed_address_is_named_by_network(text: str, name: str) -> None:
    networks = [_network("10.1.0.0/16", "b"), _network("10.0.0.0/8", "a"), _network("::/0", "c")]
    (found,) = _found(timeline.Timeline([], networks), (text, 0))
    assert found.workload == name


def test_claim_wins_over_any_network() -> None:
    who = timeline.Timeline([_claim("10.0.0.1", 0, 1, "a")], [_network("10.0.0.1/32", "set")])
    assert [one.pod or one.workload for one in _found(who, ("10.0.0.1", 0), ("10.0.0.1", 1))] == ["a", "set"]


def test_no_question_has_no_answer() -> None:
    assert _found(timeline.Timeline([_claim("10.0.0.1", 0, 1, "a")])) == []
