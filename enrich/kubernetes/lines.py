"""Bytes as they come, made into lines of a bounded size."""

from __future__ import annotations

from collections.abc import Iterator

LARGEST = 8 << 20
"""etcd takes no object of more than 1.5 MiB; as JSON, with all escapes, it may have several times that."""

TOO_LARGE = b"\n"
"""Stands for a line that was skipped. No line is this, as a line has no line feed in it."""


class Lines:
    """Puts pieces together; of a line that is too large never more than the bound is held.

    Args:
        largest: Size of the largest line that is taken, in bytes, without its end.
    """

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        self._begun = bytearray()
        self._skipping = False

    def add(self, piece: bytes) -> Iterator[bytes]:
        """The lines that end in this piece; empty ones are left out."""
        *ends, rest = piece.split(b"\n")
        for end in ends:
            line = self._ended(end)
            if line:
                yield line
        self._go_on(rest)

    def _ended(self, end: bytes) -> bytes:
        self._go_on(end)
        line = TOO_LARGE if self._skipping else bytes(self._begun).strip()
        self._begun.clear()
        self._skipping = False
        return line

    def _go_on(self, piece: bytes) -> None:
        if self._skipping or len(self._begun) + len(piece) > self._largest:
            self._begun.clear()
            self._skipping = True
        else:
            self._begun += piece
