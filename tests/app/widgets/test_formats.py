import pytest

from app.widgets import formats

S = formats.SECOND


@pytest.mark.parametrize(
    ("number", "text"),
    [
        pytest.param(0, "0", id="none"),
        pytest.param(12_345, "12,345", id="thousands"),
        pytest.param(999_999, "999,999", id="below-a-million"),
        pytest.param(1_234_567, "1.23 M", id="millions"),
        pytest.param(43_000_000_000, "43 G", id="billions"),
    ],
)
def test_count_is_readable(number, text):
    assert formats.count(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        pytest.param(0, "0 B", id="none"),
        pytest.param(999, "999 B", id="bytes"),
        pytest.param(1_500, "1.5 kB", id="kilo"),
        pytest.param(999_600, "1 MB", id="rounds-into-the-next-unit"),
        pytest.param(259_000_000, "259 MB", id="hundreds"),
        pytest.param(3_200_000_000_000_000_000, "3200 PB", id="beyond-the-last-unit"),
    ],
)
def test_size_is_readable(number, text):
    assert formats.size(number) == text


@pytest.mark.parametrize(
    ("before", "text"),
    [
        pytest.param(-5 * S, "just now", id="clock-ahead"),
        pytest.param(S // 2, "just now", id="half-a-second"),
        pytest.param(12 * S, "12 s ago", id="seconds"),
        pytest.param(119 * S, "1 min ago", id="minute"),
        pytest.param(7_300 * S, "2 h ago", id="hours"),
        pytest.param(400_000 * S, "4 d ago", id="days"),
    ],
)
def test_ago_takes_the_largest_unit(before, text):
    assert formats.ago(10**18 - before, 10**18) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        pytest.param(1.0, "100 %", id="whole"),
        pytest.param(0.9999999, "99.99 %", id="nearly-is-not-whole"),
        pytest.param(0.9986, "99.86 %", id="some"),
        pytest.param(0.0, "0.00 %", id="nothing"),
    ],
)
def test_percentage_never_promises_too_much(share, text):
    assert formats.percentage(share) == text


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        pytest.param(0, "–", id="none"),
        pytest.param(1_700_000_000_123_456_789, "2023-11-14 22:13:20.123 UTC", id="milliseconds"),
    ],
)
def test_moment_is_in_utc(nanoseconds, text):
    assert formats.moment(nanoseconds) == text


@pytest.mark.parametrize(
    ("address", "port", "text"),
    [
        pytest.param("10.0.0.1", 80, "10.0.0.1:80", id="ipv4"),
        pytest.param("fd00::1", 80, "[fd00::1]:80", id="ipv6"),
        pytest.param("fd00::1", 0, "fd00::1", id="no-port"),
    ],
)
def test_socket_joins_address_and_port(address, port, text):
    assert formats.socket(address, port) == text


def test_port_of_a_protocol_without_ports():
    assert formats.port(0, "ICMP") == "ICMP"
    assert formats.port(5432, "TCP") == "5432/TCP"


def test_plural_knows_one():
    assert [formats.plural(n, "node") for n in (0, 1, 2)] == ["0 nodes", "1 node", "2 nodes"]
