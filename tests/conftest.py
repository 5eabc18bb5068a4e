"""What all tests share."""

import socket

import hypothesis
import pytest

# A machine that stands still for a moment breaks nothing: no test is a timed one.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def free_ports() -> list[str]:
    """Flags that give a Flowledger process ports which nobody else has."""
    with socket.socket() as first, socket.socket() as second, socket.socket() as third:
        opened = {"--gateway-port": first, "--app-port": second, "--metrics-port": third}
        for one in opened.values():
            one.bind(("127.0.0.1", 0))
        return [word for flag, one in opened.items() for word in (flag, str(one.getsockname()[1]))]


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the tests of delivery and of learning take; the suite runs a short form of the same."""
    parser.addoption("--rounds", type=int, default=8, help="kills in each test of exactly-once delivery")
    parser.addoption("--away", type=int, default=4, help="seconds for which a server is away")
    parser.addoption(
        "--learn", type=int, default=45, help="seconds of traffic from which policies are learned"
    )
