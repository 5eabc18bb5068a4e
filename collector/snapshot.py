"""The kernel's table of connections as it stands, as columns: no interval, no deltas, no names."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from collector.conntrack import decode, scope, source
from model import columns, enums, errors

_ADDRESSES = ("src", "dst", "service", "snat")
_NUMBERS = {
    "protocol": pa.uint8(), "icmp_type": pa.uint8(), "icmp_code": pa.uint8(), "icmp_id": pa.uint16(),
    "forward_packets": pa.uint64(), "forward_bytes": pa.uint64(), "reverse_packets": pa.uint64(),
    "reverse_bytes": pa.uint64(), "status": pa.uint32(), "timeout": pa.uint32(), "mark": pa.uint32(),
    "zone": pa.uint16(), "id": pa.uint32(),
}  # fmt: skip


SCHEMA = pa.schema([
    *((f"{end}_{what}", kind) for end in _ADDRESSES
      for what, kind in (("address", columns.ADDRESS), ("port", pa.uint16()))),
    *((name, kind) for name, kind in _NUMBERS.items()),
    ("tcp_state", columns.TEXT), ("started", columns.TIME),
])  # fmt: skip


def batches(namespace: pathlib.Path | None, wanted: scope.Scope) -> Iterator[pa.RecordBatch]:
    """All connections, some thousand at a time; counters are those since each began.

    Raises:
        SetupError: If the kernel tracks no connections here, or the right to ask is missing.
    """
    try:
        for decoded in source.snapshot(namespace, wanted):
            yield batch(decoded.connections)
    except PermissionError as error:
        raise errors.SetupError("reading the connection table needs CAP_NET_ADMIN: run as root") from error
    except OSError as error:
        raise errors.SetupError(f"the connection table cannot be read: {error.strerror}") from error


def batch(connections: decode.Connections) -> pa.RecordBatch:
    """Connections as a record batch; names and units are the flow record's."""
    values: dict[str, pa.Array[Any]] = {
        "tcp_state": columns.text(enums.TCP_STATES, decode.tcp_states(connections))
    }
    for field in SCHEMA:
        if field.name not in values:
            rows = connections[field.name.removesuffix("_address")]
            values[field.name] = columns.array(rows, field.type)
    return pa.RecordBatch.from_arrays([values[name] for name in SCHEMA.names], schema=SCHEMA)
