"""What Felix tells, for tests that name only what matters."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collector.goldmane import flows as goldmane
from model import address, columns, enums, policyhit

SECOND = 1_000_000_000
TCP = enums.Protocol.TCP

WEB = goldmane.End(kind="WorkloadEndpoint", namespace="shop", name="web-6d9f5c-*")
CART = goldmane.End(kind="WorkloadEndpoint", namespace="shop", name="cart-*")
PUBLIC = goldmane.End(kind="Network", namespace="", name="pub")
PRIVATE = goldmane.End(kind="Network", namespace="", name="pvt")


def hit(text: str) -> policyhit.PolicyHit:
    return policyhit.parse(text)


OUT = hit("egress|__PROFILE__|pro:kns.shop|allow|0")
IN = hit("ingress|default|np:shop/cart|allow|0")
NO = hit("ingress|default|end-of-tier|deny|-1")

EGRESS = goldmane.Key(
    src=WEB, dst=CART, dst_port=8080, protocol=TCP, reporter=enums.Reporter.SRC, action=enums.Action.ALLOW,
    enforced=(OUT,), pending=(OUT,),
)  # fmt: skip
INGRESS = dataclasses.replace(EGRESS, reporter=enums.Reporter.DST, enforced=(IN,), pending=(IN,))
DENIED = dataclasses.replace(INGRESS, action=enums.Action.DENY, enforced=(NO,), pending=(NO,))


def flows(count: int, began: int, ended: int, **more: int) -> goldmane.Flows:
    """Flows of one window; times in seconds."""
    made = np.zeros(count, goldmane.FLOW)
    made["key"] = np.arange(count)
    made["started"], made["ended"], made["arrived"] = began * SECOND, began * SECOND, ended * SECOND
    made["connections_started"] = 1
    for name, value in more.items():
        made[name] = value
    return made


ROW: dict[str, Any] = {
    "time": 10 * SECOND, "started": 3 * SECOND, "node": "n1", "reporter": "both", "verdict": "allowed",
    "attribution": "none", "protocol": TCP, "src_port": 40_000, "dst_port": 8080, "connections_started": 1,
    "src_address": "10.0.0.1", "src_kind": "pod", "src_namespace": "shop", "src_pod": "web-6d9f5c-abcde",
    "src_workload": "web", "src_workload_kind": "Deployment",
    "dst_address": "10.0.0.2", "dst_kind": "pod", "dst_namespace": "shop", "dst_pod": "cart-0",
    "dst_workload": "cart", "dst_workload_kind": "StatefulSet",
}  # fmt: skip
"""A connection within a node, from a Deployment's pod to a StatefulSet's."""


def batch(*rows: dict[str, Any]) -> pa.RecordBatch:
    """Named flows, each like ``ROW`` but for what is given."""
    full = [ROW | row for row in rows]
    schema = columns.schema(columns.Stage.IDENTITY)
    arrays = [
        _column(field.type, [row[field.name] for row in full]) if field.name in ROW
        else columns.blank(field.type, len(full)) for field in schema
    ]  # fmt: skip
    for name in {name for row in rows for name in row} - set(ROW):
        place = schema.get_field_index(name)
        arrays[place] = _column(schema.field(name).type, [row.get(name, "") for row in full])
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _column(kind: pa.DataType, values: list[Any]) -> pa.Array:
    if kind == columns.TEXT:
        return columns.text(values, np.arange(len(values)))
    if kind == columns.ADDRESS:
        packed: npt.NDArray[np.uint8] = np.frombuffer(b"".join(map(address.pack, values)), np.uint8)
        return columns.array(packed.reshape(-1, 16), kind)
    sign = "u" if pa.types.is_unsigned_integer(kind) else "i"
    return columns.array(np.array(values, f"{sign}{kind.bit_width // 8}"), kind)
