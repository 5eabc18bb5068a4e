"""Who reads NFLOG groups in a namespace, and which we leave alone."""

from __future__ import annotations

import contextlib
import pathlib
import socket
from collections.abc import Iterator

import pyroute2
import pytest

from collector.nflog import owners, source
from model import errors

pytestmark = pytest.mark.net


@contextlib.contextmanager
def _reading(path: pathlib.Path, *groups: int) -> Iterator[None]:
    opened = source.Source(path, groups, receive_buffer=1 << 16, capacity=100)
    try:
        yield
    finally:
        opened.close()


def test_held_are_those_that_somebody_reads(namespace) -> None:
    assert owners.held(namespace.path) == frozenset()
    with _reading(namespace.path, 1), _reading(namespace.path, 7, 65535):
        assert owners.held(namespace.path) == {1, 7, 65535}
    assert owners.held(namespace.path) == frozenset()


PROCESSES = [
    pytest.param("calico-felix", (), True, id="Felix"),
    pytest.param("/usr/local/bin/calico-felix", (), True, id="Felix by its path"),
    pytest.param("calico-node", ("-felix",), True, id="the image's one binary, as Felix"),
    pytest.param("/usr/bin/calico", ("component", "felix"), True, id="the one binary since 3.33, as Felix"),
    pytest.param("/usr/bin/calico", ("component", "confd"), False, id="the one binary, as something else"),
    pytest.param("calico-node", ("-confd",), False, id="the same binary, as something else"),
    pytest.param("sh", ("calico-felix",), False, id="its name in another's command line"),
    pytest.param("calico-felix-metrics", (), False, id="a name that begins alike"),
]


@pytest.mark.parametrize(("name", "words", "is_felix"), PROCESSES)
def test_process(namespace, name: str, words: tuple[str, ...], is_felix: bool) -> None:
    with namespace.process(name, *words) as process:
        assert owners.felix(namespace.path) == (f"Felix runs here as process {process}" if is_felix else "")
    assert owners.felix(namespace.path) == ""


def test_felix_of_another_namespace_is_not_here(felix: int) -> None:
    assert str(felix) not in owners.felix(None)


def _interface(name: str) -> None:
    with pyroute2.IPRoute() as links:
        links.link("add", ifname=name, kind="veth", peer="peer")


@pytest.mark.parametrize(
    ("interface", "listening", "is_felix"),
    [
        pytest.param("cali0123456789a", ("10.0.0.1", 9099), True, id="both"),
        pytest.param("cali0123456789a", ("::", 9099), True, id="both, by IPv6"),
        pytest.param("cali0123456789a", ("10.0.0.1", 9100), False, id="another port"),
        pytest.param("cali0123456789a", None, False, id="interface alone"),
        pytest.param("eth0", ("10.0.0.1", 9099), False, id="port alone"),
    ],
)
def test_traces_of_a_process_that_cannot_be_seen(
    namespace, interface: str, listening: tuple[str, int] | None, is_felix: bool
) -> None:
    namespace.within(lambda: _interface(interface))
    family = socket.AF_INET6 if listening and ":" in listening[0] else socket.AF_INET
    with namespace.within(lambda: socket.socket(family, socket.SOCK_STREAM)) as opened:
        if listening:
            opened.bind(listening)
            opened.listen()
        said = owners.felix(namespace.path)
    assert said == (
        f"there is interface {interface}, and Felix's health port 9099 is open" if is_felix else ""
    )


def test_connection_from_that_port_is_not_felix(namespace) -> None:
    namespace.within(lambda: _interface("cali0123456789a"))
    with namespace.socket() as listening, namespace.socket() as calling:
        listening.bind(("10.0.0.1", 0))
        listening.listen()
        calling.bind(("10.0.0.2", 9099))
        calling.connect(listening.getsockname())
        assert owners.felix(namespace.path) == ""


@pytest.mark.parametrize(
    ("groups", "left"),
    [
        pytest.param((1, 2), (), id="its own"),
        pytest.param((100, 2, 7), (7, 100), id="some"),
        pytest.param((100,), (100,), id="others"),
        pytest.param((), (), id="none"),
    ],
)
def test_felix_s_groups_are_left_to_it_though_they_are_free(
    namespace, groups: tuple[int, ...], left: tuple[int, ...]
) -> None:
    assert owners.free(namespace.path, groups) == groups
    with namespace.process("calico-felix"):
        assert owners.free(namespace.path, groups) == left


def test_namespace_that_is_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.SetupError, match="cannot enter network namespace"):
        owners.held(tmp_path / "nothing")
