"""An nftables table that can be changed under traffic."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from lab import chains


@dataclasses.dataclass(frozen=True, slots=True)
class Set:
    """A named set or verdict map.

    Attributes:
        kind: ``set`` or ``map``.
        spec: Its type and flags.
        elements: In nft's own words; of a map with their verdicts.
    """

    name: str
    kind: str
    spec: str
    elements: tuple[str, ...] = ()

    def render(self) -> str:
        """The set as a block of an nft script."""
        filled = f" elements = {{ {', '.join(self.elements)} }}" if self.elements else ""
        return f"  {self.kind} {self.name} {{ {self.spec}{filled} }}"


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """A table of one address family.

    Attributes:
        name: Family and name.
    """

    name: str
    sets: tuple[Set, ...] = ()
    chains: tuple[chains.Chain, ...] = ()

    def render(self) -> str:
        """The script that makes the table, in place of what there was.

        Not for a table that packets pass: for some 100 us after the kernel has taken a new table it finds
        none of the elements of its sets (seen in Linux 6.18).
        """
        blocks = [*(one.render() for one in self.sets), *(chain.render() for chain in self.chains)]
        return "\n".join([f"add table {self.name}", f"delete table {self.name}", self._block(blocks)])

    def update(self, before: Table) -> str:
        """The script that makes the table out of an earlier one of its name, without loss of a packet.

        As Felix does: what stays the same is left alone, and goes on counting.
        """
        known = {chain.name: chain for chain in before.chains}
        gone = [name for name in known if name not in {chain.name for chain in self.chains}]
        changed = [chain for chain in self.chains if known.get(chain.name) != chain]
        lines = [
            *_removed(before.sets, self.sets, self.name),
            *(f"add chain {self.name} {chain.name}" for chain in changed if not chain.hook),
            *(f"flush chain {self.name} {name}" for name in gone),
            *(f"flush chain {self.name} {chain.name}" for chain in changed if chain.name in known),
            self._block([*_added(before.sets, self.sets), *(chain.render() for chain in changed)]),
            *(f"delete chain {self.name} {name}" for name in gone),
            *(f"delete {kind} {self.name} {name}" for kind, name in _gone(before.sets, self.sets)),
        ]
        return "\n".join([*lines, ""])

    def _block(self, blocks: Iterable[str]) -> str:
        return "\n".join([f"table {self.name} {{", *blocks, "}", ""])


def _removed(before: Iterable[Set], after: Iterable[Set], table: str) -> Iterator[str]:
    kept = {one.name: one.elements for one in after}
    for one in before:
        left = [element for element in one.elements if element not in kept.get(one.name, ())]
        if left:
            yield f"delete element {table} {one.name} {{ {', '.join(left)} }}"


def _added(before: Iterable[Set], after: Iterable[Set]) -> Iterator[str]:
    known = {one.name: one.elements for one in before}
    for one in after:
        new = tuple(element for element in one.elements if element not in known.get(one.name, ()))
        if new or one.name not in known:
            yield dataclasses.replace(one, elements=new).render()


def _gone(before: Iterable[Set], after: Iterable[Set]) -> list[tuple[str, str]]:
    kept = {one.name for one in after}
    return [(one.kind, one.name) for one in before if one.name not in kept]
