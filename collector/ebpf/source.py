"""Where connections come from on a node with Calico's eBPF dataplane: its maps, beside the kernel's table."""

from __future__ import annotations

import pathlib
import time

import numpy as np

from collector.conntrack import decode, scope
from collector.ebpf import conntrack, lives, maps
from model import asof, enums, errors

_NEARLY_FULL = 0.9
_ICMP = (enums.Protocol.ICMP, enums.Protocol.ICMPV6)


def pins(folder: pathlib.Path | None) -> list[conntrack.Pin]:
    """The conntrack maps that are pinned in a folder: of each address family that of the latest version.

    An upgrade of Calico leaves the earlier one behind for a moment, and nothing writes to it any more.
    """
    found: dict[int, conntrack.Pin] = {}
    for path in folder.glob("cali_v[46]_ct*") if folder else ():
        pin = conntrack.parse_pin(path.name)
        if pin and pin.version > (found[pin.family].version if pin.family in found else 0):
            found[pin.family] = pin
    return [found[family] for family in sorted(found)]


def check(folder: pathlib.Path, pin: conntrack.Pin) -> None:
    """Make sure that a map can be read.

    Raises:
        SetupError: If its layout is not known, the right to read it is missing, or the kernel refuses.
    """
    with maps.Map(folder / pin.name) as opened:
        conntrack.layout(pin, opened.info)


class Source:
    """The connections of a node's maps, put beside those of the kernel's table.

    Args:
        folder: Where maps are pinned; None for nowhere.
        wanted: Which connections are wanted. Those of maps have no mark, and zone 0.

    Attributes:
        malformed: Entries since the start that could not be read.
        error: What was wrong with the first of the last of these.
        problems: Why maps were not read this time, one sentence each.
        notes: What else limits what they tell, one sentence each.
    """

    def __init__(self, folder: pathlib.Path | None, wanted: scope.Scope = scope.EVERYTHING) -> None:
        self._folder, self._wanted = folder, wanted
        self._lives: dict[int, lives.Lives] = {}
        self._shadowed = np.zeros(0, np.uint64)
        """Keys of the kernel's living entries that were passed over, sorted."""
        self.malformed = 0
        self.error = ""
        self.problems: list[str] = []
        self.notes: list[str] = []

    @property
    def present(self) -> bool:
        """Whether there is, or was, a map."""
        return bool(self._lives)

    @property
    def fresh(self) -> int:
        """How many connections the last reading has met for the first time."""
        return sum(one.fresh for one in self._lives.values())

    def read(self, kernel: decode.Connections) -> decode.Connections:
        """All connections, each once, by key: those of the maps, and what the kernel alone knows.

        The kernel tracks whatever passes its own stack, so that much of what a map has is there too; the
        map's row wins, as it has counted every packet. The kernel's table is read first: what begins between
        the two is in the map alone then, and told once.

        A map that cannot be read now has what it had the last time.

        Args:
            kernel: What the kernel's table gave, just before, sorted by key.
        """
        self.problems, self.notes = [], []
        there = {pin.family: pin for pin in pins(self._folder)}
        for family in there:
            self._lives.setdefault(family, lives.Lives())
        if not self._lives:
            return kernel
        mapped = decode.concatenate([
            self._read(self._lives[family], there.get(family)) for family in self._lives
        ])  # fmt: skip
        return self._beside(kernel, mapped)

    def _read(self, known: lives.Lives, pin: conntrack.Pin | None) -> decode.Connections:
        """The rows of one family; without a pin the dataplane has gone, and all of them have ended."""
        if pin is None or self._folder is None:
            return known.update(np.zeros(0, decode.CONNECTION))
        try:
            found = self._scan(self._folder, pin)
        except (OSError, errors.SetupError) as error:
            self.problems.append(str(error) if isinstance(error, errors.SetupError)
                                 else f"{pin.name} cannot be read: {error.strerror}")  # fmt: skip
            known.fresh = 0
            return known.rows
        return known.update(found)

    def _scan(self, folder: pathlib.Path, pin: conntrack.Pin) -> decode.Connections:
        with maps.Map(folder / pin.name) as opened:
            known = conntrack.layout(pin, opened.info)
            boot = time.time_ns() - time.monotonic_ns()
            keys, values = opened.entries()
        if len(keys) > _NEARLY_FULL * opened.info.capacity:
            self.notes.append(f"{pin.name} is nearly full: {len(keys)} of {opened.info.capacity} entries, "
                              "living ones may be evicted")  # fmt: skip
        decoded = conntrack.decode(known, keys, values, boot)
        self.malformed += decoded.malformed
        self.error = f"{pin.name}: {decoded.error}" if decoded.error else self.error
        return self._wanted.select(decoded.connections)

    def _beside(self, kernel: decode.Connections, mapped: decode.Connections) -> decode.Connections:
        tuples = _tuples(kernel, "src", "dst")
        _lend_translations(kernel, tuples, mapped)
        told = np.sort(mapped["tuple"])
        hidden = lives.find(told, tuples) >= 0
        # The kernel may have seen answers alone, where questions were redirected past it.
        hidden |= lives.find(told, _tuples(kernel, "dst", "src")) >= 0
        # The kernel's entry may outlive the map's: what it has counted by then was told.
        hidden |= lives.find(self._shadowed, kernel["key"]) >= 0
        self._shadowed = kernel["key"][hidden & ~kernel["destroyed"]]
        both = decode.concatenate([decode.take(kernel, np.flatnonzero(~hidden)), mapped])
        return decode.take(both, np.argsort(both["key"], kind="stable"))


def _tuples(kernel: decode.Connections, src: str, dst: str) -> asof.Keys:
    """Five-tuples as maps have them: without an identifier of ICMP."""
    identifier = np.where(np.isin(kernel["protocol"], _ICMP), 0, kernel["icmp_id"]).astype(np.uint16)
    return decode.five_tuple(
        kernel[src], kernel[dst], kernel[f"{src}_port"], kernel[f"{dst}_port"], kernel["protocol"], identifier
    )


def _lend_translations(kernel: decode.Connections, tuples: asof.Keys, mapped: decode.Connections) -> None:
    """Say under which address a connection left the cluster: the kernel masquerades, after the map."""
    _, ours, theirs = np.intersect1d(mapped["tuple"], tuples, return_indices=True)
    lacking = ~mapped["snat"][ours].any(axis=1)
    for name in ("snat", "snat_port"):
        mapped[name][ours[lacking]] = kernel[name][theirs[lacking]]
