"""What was observed of who talks to whom: the distinct edges of a span, for whoever judges them anew.

The rollups answer where they have all that is needed. They do not have ICMP's types, nor the addresses of
ends that have a name but are no pod (nodes, host endpoints, network sets): what is about those comes from the
flows themselves, which are kept for a shorter time.
"""

# ruff: noqa: S608 (what is pasted into a statement here are our own names; values are bound)
from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

from model import columns, enums
from store import counting, filters, transport

_BY_ADDRESS = (enums.EndpointKind.NODE, enums.EndpointKind.HOST_ENDPOINT, enums.EndpointKind.NETWORK_SET)
"""Ends that have a name, and several addresses which policies may tell apart."""
_HOUR = 3600

_SIDES = ("src", "dst")
_NAMES = tuple(
    f"{side}_{part}" for side in _SIDES for part in ("kind", "namespace", "workload_kind", "workload")
)
_ENDS = (
    *_NAMES, *(f"{side}_{part}" for side in _SIDES for part in ("pod", "labels_id", "address")),
)  # fmt: skip
_SAID = ("dst_port", "protocol", "verdict", "attribution")
_SUMMED = ("connections_started", "forward_packets", "reverse_packets", "forward_bytes", "reverse_bytes")
_BESIDE_HASH = ("edge", "src_labels_id", "dst_labels_id", "src_workload_kind", "dst_workload_kind")
"""What tells edges apart: the hash of most of it, and what is not in that."""
_TEXTS = {*_NAMES, "src_pod", "dst_pod", "verdict", "attribution"}

_LISTED = ", ".join(f"'{kind}'" for kind in _BY_ADDRESS)
_ONLY_FLOWS = (
    f"(protocol IN ({', '.join(str(int(one)) for one in enums.PINGS)}) OR src_kind IN ({_LISTED}) "
    f"OR dst_kind IN ({_LISTED}))"
)
"""The test for what the flows alone tell enough of."""
_OWN_NODE = "node_traffic != ''"
"""From a node to a pod of its own, which no policy can keep out."""

_IPV4 = "{0} BETWEEN toIPv6('::ffff:0.0.0.0') AND toIPv6('::ffff:255.255.255.255')"


def observations(
    ledger: transport.Transport,
    span: counting.Span,
    condition: filters.Condition = filters.EVERYTHING,
    *,
    rows: bool = False,
) -> pa.Table:
    """The distinct edges of a span, connections of nodes to their own pods left out.

    What different rules decided is a row for each of them.

    Columns of both sides, as ``src_…`` and ``dst_…``: ``kind``, ``namespace``, ``workload_kind``,
    ``workload``, ``labels_id``, ``pod`` (where there is no workload), ``address`` (16 bytes; where there is
    neither, and of nodes, host endpoints and network sets). Then ``dst_port``, ``protocol``, ``icmp_type``,
    ``icmp_code``, ``family`` (4 or 6; 0 where the rollups do not tell), ``verdict``, ``attribution``;
    ``connections``, ``forward_packets``, ``reverse_packets``, ``bytes``, ``first_seen``, ``last_seen``, and
    ``hours``: in which hours since 1970. Connections that had begun before have 0 ``connections``.

    Args:
        ledger: Where to ask.
        span: Which stretch of time.
        condition: Which flows.
        rows: Whether to read the flows themselves for all of it, which tell families and take long.

    Raises:
        StoreError: If the ledger does not answer.
    """
    apart = filters.EVERYTHING if rows else _also(filters.EVERYTHING, _ONLY_FLOWS, "icmp_type")
    found = [_from_flows(ledger, span, _both(condition, apart))]
    if not rows:
        found.append(_from_rollups(ledger, span, _also(condition, f"NOT {_ONLY_FLOWS}")))
    return pa.concat_tables(found)


def own_node(
    ledger: transport.Transport,
    span: counting.Span,
    observed: pa.Table,
    condition: filters.Condition = filters.EVERYTHING,
) -> int:
    """How many connections nodes made to their own pods, kubelet's probes above all.

    They are what rollups have of nodes, and the observations do not.

    Args:
        ledger: Where to ask.
        span: Which stretch of time.
        observed: The observations of that span.
        condition: Which flows.
    """
    of_nodes = _also(condition, f"src_kind = '{enums.EndpointKind.NODE}'", "src_kind")
    counted = counting.counted(ledger, span, of_nodes)
    sql = f"SELECT sum(connections_started) AS connections FROM ({counted.select('connections_started')})"
    in_all = int(counting.ask(ledger, sql, counted.parameters).column("connections")[0].as_py())
    is_node = [kind == enums.EndpointKind.NODE for kind in observed.column("src_kind").to_pylist()]
    counts = columns.numbers(observed.column("connections").combine_chunks())
    return max(in_all - int(counts[np.array(is_node, bool)].sum()), 0)


def _from_flows(ledger: transport.Transport, span: counting.Span, condition: filters.Condition) -> pa.Table:
    only = _also(condition, f"NOT ({_OWN_NODE})", "node_traffic")
    found = counting.counted(ledger, span, only)
    family = f"if({_IPV4.format('dst_address')}, 4, 6)"
    sql = _grouped(
        found.select("edge", *_ENDS, *_SAID, "icmp_type", "icmp_code", *_SUMMED, "time"),
        {
            "icmp_type": "icmp_type",
            "icmp_code": "icmp_code",
            "family": f"toUInt8({family})",
            "src_address": _address("src"),
            "dst_address": _address("dst"),
        },
        {"first_seen": "min(time)", "last_seen": "max(time)", "hours": f"groupUniqArray({_hour('time')})"},
    )
    return _shaped(counting.ask(ledger, sql, found.parameters))


def _from_rollups(ledger: transport.Transport, span: counting.Span, condition: filters.Condition) -> pa.Table:
    found = counting.counted(ledger, span, condition)
    sql = _grouped(
        found.select("edge", *_ENDS, *_SAID, *_SUMMED, "first_seen", "last_seen"),
        {},
        {"first_seen": "min(first_seen)", "last_seen": "max(last_seen)"},
    )
    edges = counting.ask(ledger, sql, found.parameters)
    blank = {name: columns.array(np.zeros(len(edges), np.uint8), pa.uint8()) for name in
             ("icmp_type", "icmp_code", "family")}  # fmt: skip
    for name, column in blank.items():
        edges = edges.append_column(name, column)
    return _shaped(edges.append_column("hours", _hours(ledger, span, condition, edges.column("edge"))))


def _hours(
    ledger: transport.Transport,
    span: counting.Span,
    condition: filters.Condition,
    edges: pa.ChunkedArray[Any],
) -> pa.Array[Any]:
    """In which hours each edge was there.

    To add up the hours by all that tells ends apart takes many times as long.
    """
    by_hour = counting.counted(ledger, span, condition, _HOUR)
    sql = (
        f"SELECT edge, groupUniqArray({_hour('time')}) AS hours "
        f"FROM ({by_hour.select('edge', 'time')}) GROUP BY edge ORDER BY edge"
    )
    found = counting.ask(ledger, sql, by_hour.parameters)
    known = columns.numbers(found.column("edge").combine_chunks())
    wanted = columns.numbers(edges.combine_chunks())
    none = pa.array([[]], pa.list_(pa.uint32()))
    listed = pa.concat_arrays([found.column("hours").combine_chunks().cast(none.type), none])
    at = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
    there = known[at] == wanted if len(known) else np.zeros(len(wanted), bool)  # or it has gone meanwhile
    return listed.take(columns.array(np.where(there, at, len(known)).astype(np.int64), pa.int64()))


def _grouped(rows: str, more: dict[str, str], seen: dict[str, str]) -> str:
    """Rows put together by all that tells one edge from another.

    Most of that is in the edge's hash: to group by the texts themselves takes many times as long.
    """
    keys = {name: name for name in _BESIDE_HASH} | more
    told = {name: f"any({name})" for name in (*_ENDS, *_SAID) if name not in keys}
    told |= {
        "connections": "toInt64(sum(connections_started))",
        "forward_packets": "toInt64(sum(forward_packets))",
        "reverse_packets": "toInt64(sum(reverse_packets))",
        "bytes": "toInt64(sum(forward_bytes) + sum(reverse_bytes))",
    } | seen  # fmt: skip
    listed = ", ".join(f"{how} AS {name}_found" for name, how in (keys | told).items())
    named = {name: f"toString({name}_found)" if name in _TEXTS else f"{name}_found" for name in keys | told}
    for side in _SIDES:  # rows of flows have a name that edges do not
        named[f"{side}_pod"] = f"if({side}_workload_found = '', toString({side}_pod_found), '')"
        named[f"{side}_address"] = _address(side, "_found")
    return (
        f"SELECT {', '.join(f'{how} AS {name}' for name, how in named.items())} "
        f"FROM (SELECT {listed} FROM ({rows}) GROUP BY {', '.join(f'{name}_found' for name in keys)} "
        "HAVING connections_found > 0 OR bytes_found > 0)"
    )


def _address(side: str, suffix: str = "") -> str:
    """The address of an end that is known by it, or that may have several."""
    workload, pod, kind, address = (
        f"{side}_{part}{suffix}" for part in ("workload", "pod", "kind", "address")
    )
    return f"if(({workload} = '' AND {pod} = '') OR {kind} IN ({_LISTED}), {address}, toIPv6('::'))"


def _hour(time: str) -> str:
    return f"toUInt32(intDiv(toUnixTimestamp64Nano({time}), {_HOUR} * 1000000000))"


def _shaped(found: pa.Table) -> pa.Table:
    """Columns in one order and of one type, wherever they are from."""
    schema = SCHEMA
    return pa.Table.from_arrays(
        [found.column(field.name).cast(field.type) for field in schema], schema=schema
    )


def _also(condition: filters.Condition, test: str, *asked: str) -> filters.Condition:
    return dataclasses.replace(
        condition, sql=f"({condition.sql}) AND {test}", columns=condition.columns | set(asked)
    )


def _both(one: filters.Condition, other: filters.Condition) -> filters.Condition:
    """A condition of whoever asks, and one of ours, which has no values."""
    return dataclasses.replace(one, sql=f"({one.sql}) AND ({other.sql})", columns=one.columns | other.columns)


def _type(name: str) -> pa.DataType:
    if name in _TEXTS:
        return pa.string()
    return columns.ADDRESS if name.endswith("_address") else columns.BY_NAME[name].arrow


SCHEMA = pa.schema(
    [pa.field(name, _type(name)) for name in (*_ENDS, "dst_port", "protocol", "icmp_type", "icmp_code")]
    + [pa.field("family", pa.uint8()), pa.field("verdict", pa.string()), pa.field("attribution", pa.string())]
    + [pa.field(name, pa.int64()) for name in ("connections", "forward_packets", "reverse_packets", "bytes")]
    + [pa.field(name, columns.TIME) for name in ("first_seen", "last_seen")]
    + [pa.field("hours", pa.list_(pa.uint32()))]
)
"""The columns of `observations`."""
