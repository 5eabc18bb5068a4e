"""Values as exporters write them."""

import pytest

from collector.exports import fields
from model import address, columns, enums

SECOND = 1_785_578_400

TIMES = {
    "seconds": (SECOND, SECOND * 10**9),
    "seconds as text": (str(SECOND), SECOND * 10**9),
    "half seconds": (SECOND + 0.5, SECOND * 10**9 + 500_000_000),
    "milliseconds": (SECOND * 1000 + 7, SECOND * 10**9 + 7_000_000),
    "microseconds": (SECOND * 10**6 + 7, SECOND * 10**9 + 7_000),
    "nanoseconds": (SECOND * 10**9 + 7, SECOND * 10**9 + 7),
    "RFC 3339 with nanoseconds": ("2026-08-01T10:00:00.123456789Z", SECOND * 10**9 + 123_456_789),
    "RFC 3339 with an offset": ("2026-08-01T12:00:00.5+02:00", SECOND * 10**9 + 500_000_000),
    "RFC 3339 without fraction": ("2026-08-01T10:00:00Z", SECOND * 10**9),
    "without a zone": ("2026-08-01T10:00:00", SECOND * 10**9),
}


@pytest.mark.parametrize("case", TIMES, ids=str)
def test_moment_is_read_in_any_unit(case):
    value, nanoseconds = TIMES[case]
    assert fields.moment({"t": value}, "t") == nanoseconds


@pytest.mark.parametrize(
    "value",
    ["soon", 0, -1, 1e300, [], {}, "2026-13-01T00:00:00Z", "2200-01-01T00:00:00Z", 9e18],
    ids=str,
)
def test_no_moment_is_refused(value):
    with pytest.raises(ValueError, match="t is no"):
        fields.moment({"t": value}, "t")


@pytest.mark.parametrize(("value", "number"), [(7, 7), ("7", 7), (None, 0), ("-", 0), (7.0, 7), (True, 1)])
def test_number_may_be_text(value, number):
    assert fields.number({"n": value}, "n") == number


@pytest.mark.parametrize("value", ["x", -1, 65536, [], float("inf"), float("nan")], ids=str)
def test_number_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match="n is"):
        fields.number({"n": value}, "n", bits=16)


def test_first_name_that_says_something_wins():
    assert fields.text({"a": "-", "b": "", "c": "x"}, "a", "b", "c") == "x"
    assert fields.text({"a": 5}, "a") == "5"


@pytest.mark.parametrize("read", [fields.part, fields.listed, fields.text], ids=lambda f: f.__name__)
def test_another_kind_of_value_is_refused(read):
    with pytest.raises(ValueError, match="a is no"):
        read({"a": {"x": 1} if read is not fields.part else [1]}, "a")


def test_addresses_have_sixteen_bytes():
    assert fields.packed({"a": "10.0.0.1"}, "a") == address.pack("10.0.0.1")
    assert fields.packed({"a": "-"}, "a") == columns.NO_ADDRESS
    with pytest.raises(ValueError, match="a is no address: 'x'"):
        fields.packed({"a": "x"}, "a")


@pytest.mark.parametrize(
    ("said", "number"),
    [("tcp", 6), ("TCP", 6), (6, 6), ("17", 17), ("ICMPv6", 58), ("icmp6", 58), ("UDPLite", 136)],
)
def test_protocol_by_name_or_number(said, number):
    assert fields.protocol({"p": said}, "p") == number


def test_unknown_protocol_is_refused():
    for said in ("xyz", None, 300):
        with pytest.raises(ValueError, match="p is"):
            fields.protocol({"p": said}, "p")


def test_address_without_a_name_is_private_or_public():
    assert fields.kind_of_address(address.pack("10.1.2.3")) is enums.EndpointKind.PRIVATE
    assert fields.kind_of_address(address.pack("203.0.113.9")) is enums.EndpointKind.PUBLIC


def test_labels_from_pairs():
    assert fields.labels(["app=web", "tier=", "x=a=b"]) == {"app": "web", "tier": "", "x": "a=b"}
    with pytest.raises(ValueError, match="no text"):
        fields.labels([1])
    for value in (5, "app=web", {"app": "web"}, None):
        with pytest.raises(ValueError, match="no list"):
            fields.labels(value)
