"""Exports, read: what each file has come to, and the flows of all of them in one temporary file.

Nothing is written to a ledger before all files are read; meanwhile their flows lie on the disk, so that no
more than a piece of a file is in memory.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from collector.exports import formats, mirrors, reading, rows
from enrich import identity
from model import columns, enums, errors

FORMATS = tuple(origin.value for origin in formats.FORMATS)
SHOWN = 5
"""How many bad lines of a file are kept."""

_HOUR = 3600 * 10**9
_DIGITS = 16
"""Of a file's digest, in the note of its statements."""
_SCHEMA = columns.schema(columns.Stage.IDENTITY)


@dataclasses.dataclass(slots=True, kw_only=True)
class File:
    """What a file has come to.

    Attributes:
        name: Its name, without the folder.
        origin: Who wrote it.
        digest: Of its lines, in hexadecimal.
        bad: How many lines could not be read.
        shown: The first of them, and why.
        skipped: How many records are no flows of their own.
        pieces: The rows of each batch that it made, and the digest of the lines.
        label_sets: The label sets of its flows, by number.
        lost: What the exporter says that it has lost, by node and hour since 1970.
    """

    name: str
    origin: enums.Origin
    digest: str = ""
    bad: int = 0
    skipped: int = 0
    shown: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    pieces: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    label_sets: dict[int, dict[str, str]] = dataclasses.field(default_factory=dict)
    lost: collections.Counter[tuple[str, int]] = dataclasses.field(default_factory=collections.Counter)

    @property
    def mark(self) -> str:
        """What a file with other lines does not have."""
        return self.digest[:_DIGITS]

    @property
    def note(self) -> str:
        """What the statements of its import say: its name, and its mark."""
        return f"{self.name} {self.mark}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What all files have come to.

    Attributes:
        files: In the order in which their batches lie in the temporary file.
        mirrors: What destinations have reported, by origin.
    """

    files: Sequence[File]
    mirrors: Mapping[enums.Origin, mirrors.Mirrors]


def read(
    paths: Sequence[pathlib.Path],
    form: enums.Origin | None,
    node: str,
    kept: Any,
    advance: Callable[[int], None] = lambda _: None,
) -> Exported:
    """Read files, and keep their flows.

    Args:
        paths: The files; ``-`` is the standard input.
        form: Their format; None to find out for each.
        node: Who is said to have observed what no node is said of; empty for the origin's name.
        kept: The temporary file, open for bytes.
        advance: Told how many bytes have been read.

    Raises:
        SetupError: If a file cannot be read, is empty, or in no format that we know.
    """
    known: dict[enums.Origin, mirrors.Mirrors] = {}
    files, before = list[File](), 0
    with pa.ipc.new_stream(kept, _SCHEMA, options=pa.ipc.IpcWriteOptions(compression="lz4")) as spool:
        for path in paths:
            found = None
            for piece in reading.pieces(path):
                records = formats.unwrapped(piece.values)
                found = found or _begin(path, form or formats.detected(records), piece)
                made = _made(found, records, node)
                found.bad += len(piece.bad)
                _remember(found, sorted([*piece.bad, *made.bad])[: SHOWN - len(found.shown)], made, piece)
                batch = made.batch()
                spool.write_batch(batch)
                known.setdefault(found.origin, mirrors.Mirrors(found.origin.value)).learn(batch)
                advance(before + piece.consumed)
            if found is None:
                raise errors.SetupError(f"{_named(path)} is empty")
            files.append(found)
            before += reading.size(path)
    kept.flush()
    return Exported(files=files, mirrors=known)


def _named(path: pathlib.Path) -> str:
    return "the standard input" if path == reading.STDIN else str(path)


def _begin(path: pathlib.Path, origin: enums.Origin | None, piece: reading.Piece) -> File:
    if origin is None:
        first = piece.bad[0] if piece.bad and not piece.values else None
        why = f" (line {first[0]} is {first[1]})" if first else ""
        raise errors.SetupError(
            f"{_named(path)} is in no format that we know{why}: flows of {', '.join(FORMATS)} are read; "
            "--format says which"
        )
    return File(name="stdin" if path == reading.STDIN else path.name, origin=origin)


def _made(found: File, records: formats.Records, node: str) -> rows.Rows:
    made = rows.Rows(found.origin, identity.labels_id, node or found.origin.value)
    formats.read(records, made)
    return made


def _remember(found: File, shown: list[tuple[int, str]], made: rows.Rows, piece: reading.Piece) -> None:
    found.shown += shown
    found.bad += len(made.bad)
    found.skipped += made.skipped
    found.label_sets |= made.label_sets
    found.pieces.append((len(made), piece.digest))
    found.digest = hashlib.sha256(f"{found.digest}{piece.digest}".encode()).hexdigest()
    for (node, at), count in made.lost.items():
        found.lost[node, at // _HOUR] += count


def batches(kept: Any) -> Iterator[pa.RecordBatch]:
    """The flows that were kept, batch by batch."""
    kept.seek(0)
    with pa.ipc.open_stream(kept) as spool:
        yield from spool


class Total:
    """The flows of all files, counted."""

    def __init__(self) -> None:
        self.rows = 0
        self.verdicts: collections.Counter[tuple[str, str]] = collections.Counter()
        self.nodes: dict[str, set[str]] = collections.defaultdict(set)
        self.spans: dict[str, tuple[int, int]] = {}

    def count(self, batch: pa.RecordBatch) -> None:
        """Add a batch, all of one origin."""
        if not len(batch):
            return
        self.rows += len(batch)
        origin = columns.counts(batch, "origin")[0][0]
        for verdict, count in columns.counts(batch, "verdict"):
            self.verdicts[origin, verdict] += count
        self.nodes[origin] |= {node for node, _ in columns.counts(batch, "node")}
        times = columns.numbers(batch.column("time"))
        first, last = self.spans.get(origin, (int(times[0]), int(times[0])))
        self.spans[origin] = min(first, int(times.min())), max(last, int(times.max()))

    @property
    def first(self) -> int:
        """The earliest time of a row."""
        return min(first for first, _ in self.spans.values())
