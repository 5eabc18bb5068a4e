"""The column registry: the one list of what a flow record holds.

The Arrow schema, ClickHouse's DDL, the filter language and the reference page all follow from it.
To add a column, add one entry here and fill it in the stage that owns it.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

TEXT = pa.dictionary(pa.int32(), pa.string())
ADDRESS = pa.binary(16)
TIME = pa.timestamp("ns", "UTC")

NO_ADDRESS = bytes(16)
"""``::``, which stands for "there was none" in an address column."""


class Stage(enum.IntEnum):
    """The stages in the order in which a batch meets them; each adds columns and changes none."""

    JOIN = 1
    IDENTITY = 2


class Rollup(enum.Enum):
    """What becomes of a column in the rollups by minute, hour and day."""

    KEY = "key"
    NAME = "name"
    """Kept as a key where an end has no better name, and blank elsewhere."""
    SUM = "sum"
    DROPPED = "dropped"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the flow record."""

    name: str
    arrow: pa.DataType
    clickhouse: str
    codec: str
    stage: Stage
    rollup: Rollup
    about: str


# Bytes a row, of a million rows of `lab.ledger` in the order in which the store keeps them, 18.0 in all:
#   started, ended   Delta, ZSTD 9.15   ZSTD 6.75   both reports of a connection are often close by: ZSTD
#   ports            T64, ZSTD 2.27     ZSTD 2.06   finds the repetition, if nothing before it hides it
#   packets, bytes, connections_...     T64, ZSTD 3.79   ZSTD 5.00   small numbers: T64 takes their bits alone
# ZSTD(3) would save 2 %.
_COUNTS = "T64, ZSTD(1)"


def _text(name: str, stage: Stage, about: str, rollup: Rollup = Rollup.DROPPED) -> Column:
    return Column(
        name=name, arrow=TEXT, clickhouse="LowCardinality(String)", codec="ZSTD(1)",
        stage=stage, rollup=rollup, about=about,
    )  # fmt: skip


def _key(name: str, stage: Stage, about: str) -> Column:
    """A text by which the rollups tell rows apart."""
    return _text(name, stage, about, Rollup.KEY)


def _time(name: str, about: str) -> Column:
    return Column(
        name=name, arrow=TIME, clickhouse="DateTime64(9, 'UTC')", codec="ZSTD(1)",
        stage=Stage.JOIN, rollup=Rollup.DROPPED, about=about,
    )  # fmt: skip


def _address(name: str, about: str, rollup: Rollup = Rollup.DROPPED) -> Column:
    return Column(
        name=name, arrow=ADDRESS, clickhouse="IPv6", codec="ZSTD(1)",
        stage=Stage.JOIN, rollup=rollup, about=about,
    )  # fmt: skip


def _number(
    name: str, bits: int, about: str, rollup: Rollup = Rollup.DROPPED, *, codec: str = "ZSTD(1)"
) -> Column:
    arrow = {8: pa.uint8(), 16: pa.uint16(), 64: pa.uint64()}[bits]
    return Column(
        name=name, arrow=arrow, clickhouse=f"UInt{bits}", codec=codec,
        stage=Stage.JOIN, rollup=rollup, about=about,
    )  # fmt: skip


def _count(name: str, about: str) -> Column:
    return _number(name, 64, about, Rollup.SUM, codec=_COUNTS)


def _identity(side: str, end: str) -> list[Column]:
    """The identity columns of one end, ``src`` or ``dst``."""
    stage = Stage.IDENTITY
    return [
        _key(f"{side}_kind", stage, f"what the {end}'s address stood for when the connection began"),
        _key(f"{side}_namespace", stage, f"Kubernetes namespace of the {end}; empty if it has none"),
        _key(f"{side}_workload_kind", stage, f"kind of the {end}'s owner: Deployment, Job, …"),
        _key(f"{side}_workload", stage, f"name of the {end}'s owner, or of the node or network set"),
        _text(f"{side}_pod", stage, f"name of the {end}'s pod", Rollup.NAME),
        Column(
            name=f"{side}_labels_id", arrow=pa.uint64(), clickhouse="UInt64", codec="ZSTD(1)", stage=stage,
            rollup=Rollup.KEY, about=f"the {end}'s label set, in table `label_sets`; 0 if it has none",
        ),
    ]  # fmt: skip


_ENDS = (("src", "source"), ("dst", "destination"))

COLUMNS: tuple[Column, ...] = (
    _time("time", "end of the interval that this row reports"),
    _time("started", "when the connection began, by the kernel; the first packet of a denied attempt"),
    _time("ended", "when it ended; 1970-01-01 while it lives, or where only a timer of the kernel ended it"),
    _text("node", Stage.JOIN, "the node that observed it"),
    _text(
        "origin",
        Stage.JOIN,
        "who recorded it, if no collector did: `goldmane`, or what it was imported from; else empty",
    ),
    _address("src_address", "who began the connection, before any source translation", Rollup.NAME),
    _number("src_port", 16, "its port; 0 where the protocol has none"),
    _address("dst_address", "who answered: the destination after service translation", Rollup.NAME),
    _number("dst_port", 16, "its port, after service translation", Rollup.KEY),
    _number("protocol", 8, "IP protocol number (IANA)", Rollup.KEY),
    _number("icmp_type", 8, "ICMP or ICMPv6 type of the request; 0 for other protocols"),
    _number("icmp_code", 8, "ICMP or ICMPv6 code of the request; 0 for other protocols"),
    _address("service_address", "the address that was dialled, where it was translated; else `::`"),
    _number("service_port", 16, "the port that was dialled, where it was translated; else 0"),
    _address("snat_address", "the source as the destination saw it, where it was translated; else `::`"),
    _number("snat_port", 16, "its port as the destination saw it, where it was translated; else 0"),
    _count("forward_packets", "packets from initiator to responder in this interval"),
    _count("forward_bytes", "their bytes, IP header included"),
    _count("reverse_packets", "packets from responder to initiator in this interval"),
    _count("reverse_bytes", "their bytes, IP header included"),
    _count("connections_started", "1 in the first row of a connection or attempt, else 0"),
    _count("connections_ended", "1 in the row in which it ended, else 0"),
    _text("tcp_state", Stage.JOIN, "TCP state at the end of the interval"),
    _key("verdict", Stage.JOIN, "`allowed`, `denied` or `unknown` (sent on, and nobody answered)"),
    _text("egress_action", Stage.JOIN, "what the source's egress policy said here; empty if not asked"),
    _text(
        "ingress_action", Stage.JOIN, "what the destination's ingress policy said here; empty if not asked"
    ),
    _text("policy_trace", Stage.JOIN, "the ordered policy hits, separated by a space"),
    _key("deciding_rule", Stage.JOIN, "the hit that decided: the last allow or deny of the trace"),
    _key(
        "attribution",
        Stage.JOIN,
        "how the rule is known: `felix`, `nflog`, `evaluated`, `imported`, or not at all: `probe`, `none`",
    ),
    _text(
        "pending_verdict",
        Stage.JOIN,
        "what would become of it if the staged policies were in force: `allowed` or `denied`; else empty",
    ),
    _text("pending_trace", Stage.JOIN, "the policy hits that there would be then, staged policies' included"),
    _text(
        "drop_reason",
        Stage.JOIN,
        "where no rule told: `policy`, `routing` or `unknown` dropped it; else empty",
    ),
    _text("reporter", Stage.IDENTITY, "which ends this node hosts: `src`, `dst`, `both`, `none`"),
    *(
        _text(f"{side}_node", Stage.IDENTITY, f"the {end}'s node, where the cluster knows one; else empty")
        for side, end in _ENDS
    ),
    *(
        _text(f"{side}_zone", Stage.IDENTITY, f"zone of the {end}'s node (`topology.kubernetes.io/zone`)")
        for side, end in _ENDS
    ),
    _text(
        "node_traffic",
        Stage.IDENTITY,
        "from a node to a pod of its own: `probe` at a port that kubelet probes, else `own`; else empty",
    ),
    _text(
        "correction",
        Stage.IDENTITY,
        "empty as first recorded; `named_again`: recorded again with better names; "
        "`taken_back`: an earlier row's counts, negated, for a moment",
    ),
    *(column for side, end in _ENDS for column in _identity(side, end)),
    _text("service_namespace", Stage.IDENTITY, "namespace of the service that was dialled; else empty"),
    _text("service", Stage.IDENTITY, "the service that was dialled; else empty"),
    _text("service_port_name", Stage.IDENTITY, "its port's name; else empty"),
)

BY_NAME = {column.name: column for column in COLUMNS}


def schema(stage: Stage) -> pa.Schema:
    """The Arrow schema of a flow batch that has passed ``stage``."""
    return pa.schema([pa.field(c.name, c.arrow, nullable=False) for c in COLUMNS if c.stage <= stage])


def array(values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array[Any]:
    """A column of fixed-width values around a numpy array, without a copy where it is contiguous.

    ``pyarrow.array`` would do as well, but it imports pandas where that is installed, which costs a second
    and 60 MB.
    """
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values).data)])


def blank(kind: pa.DataType, count: int) -> pa.Array[Any]:
    """A column of a flow batch that has nothing to say: no number, no address, no time, no text."""
    if kind == TEXT:
        return text([""], np.zeros(count, np.int64))
    return array(np.zeros((count, kind.bit_width // 8), np.uint8), kind)


def numbers(column: pa.Array[Any]) -> npt.NDArray[Any]:
    """The values of a column of whole numbers or times, without a copy; ``array`` says why not by Arrow."""
    sign = "u" if pa.types.is_unsigned_integer(column.type) else "i"
    memory = memoryview(column.buffers()[1] or b"")
    values = np.frombuffer(memory, f"{sign}{column.type.bit_width // 8}")
    return values[column.offset : column.offset + len(column)]


def packed(flows: pa.RecordBatch, column: str) -> npt.NDArray[np.uint8]:
    """An address column of a batch, shape (n, 16), without a copy."""
    array = flows.column(column)
    data = array.buffers()[1]
    if data is None:
        return np.zeros((0, 16), np.uint8)
    found: npt.NDArray[np.uint8] = np.frombuffer(
        memoryview(data), np.uint8, len(array) * 16, array.offset * 16
    )
    return found.reshape(-1, 16)


def coded(flows: pa.RecordBatch, column: str) -> tuple[npt.NDArray[np.int32], list[str]]:
    """A text column of a flow batch as codes, and the values that they stand for."""
    array: Any = flows.column(column)
    return numbers(array.indices), [str(value) for value in array.dictionary.to_pylist()]


def equal(flows: pa.RecordBatch, column: str, value: str) -> npt.NDArray[np.bool_]:
    """Which rows have this value in a text column."""
    codes, values = coded(flows, column)
    same: npt.NDArray[np.bool_] = codes == (values.index(value) if value in values else -1)
    return same


def filled(
    flows: pa.RecordBatch, name: str, rows: npt.NDArray[np.int64], values: Sequence[str],
    codes: npt.NDArray[np.integer],
) -> pa.RecordBatch:  # fmt: skip
    """A flow batch with other text in some rows of a column.

    Args:
        flows: The batch.
        name: The column.
        rows: The rows.
        values: Texts, of which one may be there twice.
        codes: For each of the rows which of them it gets.
    """
    before, known = coded(flows, name)
    after = before.copy()
    after[rows] = codes + len(known)
    place = flows.schema.get_field_index(name)
    return flows.set_column(place, flows.schema.field(name), text([*known, *values], after))


def counts(
    flows: pa.RecordBatch, column: str, among: npt.NDArray[np.bool_] | None = None
) -> list[tuple[str, int]]:
    """Each value of a text column of a flow batch, and in how many of the rows it is there."""
    codes, values = coded(flows, column)
    counted = np.bincount(codes if among is None else codes[among], minlength=len(values))
    return [(value, int(count)) for value, count in zip(values, counted, strict=True) if count]


def text(values: Sequence[str], codes: npt.NDArray[np.integer]) -> pa.DictionaryArray[Any, Any]:
    """A text column from codes into a list of values, which may hold a value twice."""
    distinct = sorted(set(values))
    place = {value: i for i, value in enumerate(distinct)}
    recode = np.array([place[value] for value in values], np.int32)
    indices = recode[codes] if len(codes) else np.zeros(0, np.int32)
    return pa.DictionaryArray.from_arrays(array(indices, pa.int32()), strings(distinct))


def batch(schema: pa.Schema, values: Mapping[str, Sequence[Any] | npt.NDArray[Any]]) -> pa.RecordBatch:
    """Plain values as a record batch, for tables that are short; ``array`` says why not by ``pyarrow.array``.

    Args:
        schema: Fields of whole numbers, times, truth, text, addresses, or maps from text to text.
        values: For each field its values, all of one length.
    """
    arrays = [_plain(values[field.name], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _plain(values: Sequence[Any] | npt.NDArray[Any], kind: pa.DataType) -> pa.Array[Any]:
    if pa.types.is_string(kind):
        return strings(list(values))
    if pa.types.is_boolean(kind):
        bits = np.packbits(np.asarray(values, bool), bitorder="little")
        return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(bits.tobytes())])
    if pa.types.is_map(kind):
        offsets = np.cumsum([0, *map(len, values)], dtype=np.int32)
        keys, items = ([text for one in values for text in part(one)] for part in (dict.keys, dict.values))
        maps: Any = pa.MapArray.from_arrays  # its stubs want 64-bit offsets, which it does not take
        made: pa.Array[Any] = maps(array(offsets, pa.int32()), strings(keys), strings(items))
        return made
    if pa.types.is_fixed_size_binary(kind):
        return array(np.frombuffer(b"".join(values), np.uint8).reshape(-1, kind.byte_width), kind)
    width = np.dtype(f"{'u' if pa.types.is_unsigned_integer(kind) else 'i'}{kind.bit_width // 8}")
    return array(np.asarray(values, width), kind)


def strings(values: Sequence[str]) -> pa.StringArray:
    """A plain column of text; ``array`` says why not by ``pyarrow.array``."""
    encoded = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.StringArray.from_buffers(
        len(values), pa.py_buffer(offsets.data), pa.py_buffer(b"".join(encoded))
    )


_ROLES = {Rollup.KEY: "key", Rollup.NAME: "name", Rollup.SUM: "sum", Rollup.DROPPED: ""}


def reference() -> str:
    """The reference page of the flow record, as Markdown."""
    lines = [
        "# The flow record",
        "",
        "One row: one connection, or one denied attempt, on one node, in one interval.",
        "Generated from `model/columns.py`; `flowledger reference` writes it.",
        "",
        "The tables `flows_minute`, `flows_hour` and `flows_day` hold the same by time: a *key* as it is, a",
        "*name* where that end has no better one (an address without a pod, a pod without a workload), a",
        "*sum* added up.",
        "",
        "| column | ClickHouse type | added by | in rollups | meaning |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| `{c.name}` | `{c.clickhouse}` | {c.stage.name.lower()} | {_ROLES[c.rollup]} | {c.about} |"
        for c in COLUMNS
    ]
    return "\n".join(lines) + "\n"
