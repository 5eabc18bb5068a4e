"""``flowledger demo`` on nodes whose Felix reads the rules' words, and tells of them by its socket."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from cli import assembly, main
from runtime import settings
from store import transport

running = assembly.running


@contextlib.contextmanager
def beside_felix(
    configured: settings.Settings, nodes: Sequence[settings.Collector], **more: Any
) -> Iterator[transport.Transport]:
    """The demo's parts, and a Felix on each node."""
    import nodefelix

    folder = pathlib.Path(configured.enrich.manifests)
    felixes, beside = [], []
    for node in nodes:
        socket = folder.parent / "calico" / node.node / "flows" / "flows.sock"
        socket.parent.parent.mkdir(parents=True)
        sources = ("conntrack", "felix", "counters", "probe")
        beside.append(dataclasses.replace(node, felix_socket=str(socket), sources=sources))
        felixes.append(nodefelix.Felix(pathlib.Path(node.netns), socket, folder))
    with running(configured, beside, **more) as ledger:
        for felix in felixes:
            felix.start()
        yield ledger
        for felix in felixes:
            felix.end()


if __name__ == "__main__":
    assembly.running = beside_felix
    main.main()
