"""ClickHouse's format ``Native`` as clients of a certain protocol revision read it.

Such a client says ``client_protocol_version``. Before each block it then wants to hear of buckets, which only
servers among themselves have; and of each column, whether it is written in a way of its own.
"""

from __future__ import annotations

from store import blocks

_BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
"""Field 1, overflows: no; field 2, bucket: -1; no more fields."""

_CUSTOM = 54454
"""The first revision that wants to hear how columns are written."""
_PLAINLY = b"\x00"


def written_for(content: bytes, revision: int) -> bytes:
    """Blocks of the format as it was before there were revisions, for a revision above 0.

    Raises:
        StoreError: If a column has a type that we do not read; then nobody knows where it ends.
    """
    source, parts = _Memory(content), []
    after_type = _PLAINLY if revision >= _CUSTOM else b""
    while source.at < len(content):
        parts.append(_BLOCK_INFO)
        start = source.at
        columns, rows = source.varint(), source.varint()
        for _ in range(columns):
            _, kind = source.texts(2)
            parts += [content[start : source.at], after_type]
            start = source.at
            if rows:
                blocks.decode(blocks.parse(kind.decode()), rows, source)
        parts.append(content[start : source.at])
    return b"".join(parts)


class _Memory:
    """Reads on in bytes that are all there."""

    def __init__(self, content: bytes) -> None:
        self._content, self.at = content, 0

    def read(self, count: int) -> bytes:
        self.at += count
        return self._content[self.at - count : self.at]

    def varint(self) -> int:
        number, shift = 0, 0
        while True:
            byte = self._content[self.at]
            self.at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def texts(self, count: int) -> list[bytes]:
        return [self.read(self.varint()) for _ in range(count)]
