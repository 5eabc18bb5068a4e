"""``bench nflog``: logged packets to columns."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import time
from collections.abc import Iterator

import pyroute2

from cli.bench import measure
from collector.nflog import source
from lab import namespaces
from model import errors

GROUP = 7
"""The NFLOG group that the rules here log to."""
_RULES = """
table inet bench {
  chain input {
    type filter hook input priority 0;
    ct state new udp dport 30000-40000 counter log prefix "DPI|default" snaplen 80 group 7
    udp dport 30000-40000 drop
  }
}
"""


def prepare(path: pathlib.Path, rules: str = _RULES) -> None:
    """Two addresses on the loopback, and rules that drop what goes to one of them; these log it first.

    Raises:
        SetupError: If nft is missing.
    """
    if not shutil.which("nft"):
        raise errors.SetupError("nft is missing: install the package nftables")
    namespaces.within(path, _addresses)
    namespaces.within(path, lambda: subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True))


def _addresses() -> None:
    with pyroute2.IPRoute() as links:
        links.link("set", index=1, state="up")
        for last in (1, 2):
            links.addr("add", index=1, address=f"10.0.0.{last}", prefixlen=32)


def packets(count: int, rate: float) -> Iterator[measure.Measure]:
    """What each logged packet costs, and whether any is lost."""
    with measure.namespace() as path:
        prepare(path)
        reader = source.Source(path, (GROUP,), receive_buffer=8 << 20, capacity=2 * count)
        reader.start()
        try:
            generator = measure.Load("datagrams", path, count, rate)
            began = time.process_time()
            generator.go()
            done = generator.wait()
            time.sleep(2 * source.FLUSH_SECONDS)
            rows = len(reader.read()[0])
            spent = time.process_time() - began
            lost = reader.lost
        finally:
            reader.stop()
    yield from measure.received("nflog", done, rows, spent, lost)
