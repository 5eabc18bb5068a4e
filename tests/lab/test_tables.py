"""An nftables table that is changed in place."""

from __future__ import annotations

import json
import pathlib
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from lab import chains, namespaces, network, tables

HOOK = "type filter hook output priority filter; policy accept;"
NAME = "ip calico"


def _table(elements: tuple[str, ...], *pods: str, sets: tuple[tables.Set, ...] = ()) -> tables.Table:
    """Packets go through a map to a chain of their interface's own, or are dropped."""
    dispatch = tables.Set("dispatch", "map", "type ifname : verdict;", elements)
    own = [chains.Chain(f"to-{pod}", (chains.Line("", "accept", pod),)) for pod in pods]
    return tables.Table(NAME, (dispatch, *sets), (
        *own,
        chains.Chain("OUTPUT", (chains.Line("oifname vmap @dispatch"), chains.Line("", "drop")), HOOK),
    ))  # fmt: skip


def _nets(*elements: str) -> tuple[tables.Set, ...]:
    return (tables.Set("nets", "set", "type ipv4_addr; flags interval;", elements),)


ONE = _table(('"lo" : goto to-lo',), "lo")
TWO = _table(('"lo" : goto to-lo', '"a" : goto to-a'), "a", "lo")
OTHER = _table(('"lo" : goto to-b',), "b")


@pytest.fixture
def namespace(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A namespace of its own, with a loopback."""
    path = tmp_path / "namespace"
    namespaces.create(path)
    namespaces.within(path, lambda: subprocess.run(["ip", "link", "set", "dev", "lo", "up"], check=True))
    yield path
    namespaces.remove(path)


def _loaded(namespace: pathlib.Path) -> list[str]:
    """What the kernel has, without handles and counters; in an order of its own."""
    command = ["nft", "-j", "list", "ruleset"]
    listed = namespaces.within(namespace, lambda: subprocess.run(command, capture_output=True, check=True))
    objects = json.loads(listed.stdout)["nftables"]
    found = [json.dumps(_bare(one), sort_keys=True) for one in objects if "metainfo" not in one]
    rules = [one for one in found if one.startswith('{"rule"')]
    return sorted(set(found) - set(rules)) + sorted(rules, key=lambda one: json.loads(one)["rule"]["chain"])


def _bare(value: object) -> object:
    if isinstance(value, dict):
        return {key: _bare(one) for key, one in value.items() if key not in ("handle", "packets", "bytes")}
    if isinstance(value, list):
        bare = [_bare(one) for one in value]
        return sorted(bare, key=str) if all(isinstance(one, list) for one in bare) else bare
    return value


@pytest.mark.net
@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(ONE, ONE, id="nothing"),
        pytest.param(ONE, TWO, id="pod comes"),
        pytest.param(TWO, ONE, id="pod goes"),
        pytest.param(ONE, OTHER, id="interface goes to another chain"),
        pytest.param(ONE, _table((), "lo"), id="map is empty"),
        pytest.param(_table(()), TWO, id="map was empty"),
        pytest.param(ONE, _table(('"lo" : goto to-lo',), "lo", sets=_nets("10.0.0.1")), id="set comes"),
        pytest.param(_table((), sets=_nets("10.0.0.0/31")), _table(()), id="set goes"),
        pytest.param(_table((), sets=_nets("10.0.0.0/31", "10.0.0.8")),
                     _table((), sets=_nets("10.0.0.1", "10.0.0.8/30")), id="networks grow and shrink"),
    ],
)  # fmt: skip
def test_updated_table_is_what_a_new_one_would_be(
    namespace: pathlib.Path, before: tables.Table, after: tables.Table
) -> None:
    kernel = network.Network(namespace.parent)
    kernel.load(namespace.name, after.render())
    expected = _loaded(namespace)
    for script in (before.render(), after.update(before)):
        kernel.load(namespace.name, script)
    assert _loaded(namespace) == expected


def test_what_stays_is_left_alone() -> None:
    assert ONE.update(ONE).split() == f"table {NAME} {{ }}".split()
    assert "OUTPUT" not in TWO.update(ONE)


@pytest.mark.net
def test_no_packet_is_lost_meanwhile(namespace: pathlib.Path) -> None:
    """Each that is dropped on its way out is refused to its sender."""
    kernel = network.Network(namespace.parent)
    kernel.load(namespace.name, ONE.render())
    changing, refused, sent = threading.Event(), [], []

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", 9))
            while not changing.is_set():
                try:
                    client.send(b"")
                except ConnectionRefusedError:
                    sent.append(1)  # it arrived where nobody listens
                except PermissionError as error:
                    refused.append(error)

    sender = threading.Thread(target=lambda: namespaces.within(namespace, send))
    sender.start()
    for _ in range(20):
        kernel.load(namespace.name, TWO.update(ONE))
        kernel.load(namespace.name, ONE.update(TWO))
    changing.set()
    sender.join()
    assert (len(sent) > 1_000, refused) == (True, [])
