"""The closed sets of words."""

from __future__ import annotations

import enum
import inspect
import socket

import pytest

from model import enums

WORDS = [
    kind
    for _, kind in inspect.getmembers(enums, inspect.isclass)
    if issubclass(kind, enum.StrEnum) and kind is not enum.StrEnum
]


@pytest.mark.parametrize(
    "kind", [kind for kind in WORDS if kind is not enums.Origin], ids=lambda k: k.__name__
)
def test_word_is_its_name_in_lower_case(kind: type[enum.StrEnum]) -> None:
    """The words go into the ledger and into filters; a policy hit's text needs them without bar or space."""
    assert [member.value for member in kind] == [member.name.lower() for member in kind]


def test_origin_is_empty_for_what_nearly_all_rows_have() -> None:
    said = {member.name.lower().replace("_", "-"): member.value for member in enums.Origin}
    assert said.pop("collector") == ""
    assert list(said) == list(said.values())


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (1, "ICMP"),
        (6, "TCP"),
        (17, "UDP"),
        (58, "ICMPv6"),
        (132, "SCTP"),
        (136, "UDPLite"),
        (47, "47"),
        (0, "0"),
    ],
)
def test_protocol_name(number: int, name: str) -> None:
    assert enums.protocol_name(number) == name


def test_protocol_numbers_are_iana_s() -> None:
    for protocol in enums.Protocol:
        constant = getattr(socket, f"IPPROTO_{protocol.name}", None)
        assert constant in (None, protocol.value)


def test_tcp_states_are_the_kernel_s() -> None:
    """linux/netfilter/nf_conntrack_tcp.h: the place in the list is the kernel's number."""
    assert enums.TCP_STATES.index("established") == 3
    assert enums.TCP_STATES.index("time_wait") == 7
    assert enums.TCP_STATES.index("syn_sent2") == 9
