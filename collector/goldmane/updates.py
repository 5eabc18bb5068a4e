"""Flows as they are sent, many messages at a time, as columns.

A flow tells what happened to one pair of ends, port and service since Felix last told of it, as the
policies of one end saw it (felix/collector/flowlog/types.go). Where these took more than one way through
the policies since then, Felix sends a flow for each way, and *each with all of the numbers*: who adds up
flows of one window that differ in nothing but their enforced traces counts twice.

A message is parsed without its key and its labels, and the key is looked up by its bytes. Measured: 3.1 µs
a message of 270 bytes, of which two are for reading the numbers off the parsed one; to parse all of it
takes 2.3 for that alone. Needs the extra ``goldmane``.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from google.protobuf import message as protobuf

from collector.goldmane import flows, goldmane_pb2, keys
from model import enums

_FIELDS = (
    "start_time", "end_time", "packets_in", "packets_out", "bytes_in", "bytes_out",
    "num_connections_started", "num_connections_completed", "num_connections_live",
)  # fmt: skip
_ALIKE = {
    "num_connections_started": "connections_started", "num_connections_completed": "connections_ended",
    "num_connections_live": "connections_living",
}  # fmt: skip
_values = operator.attrgetter(*_FIELDS)
_SECOND = 1_000_000_000
_LAST_SECOND = ((1 << 63) - 1) // _SECOND

Times = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, slots=True)
class Decoded:
    """What some messages say.

    Attributes:
        flows: One for each message that could be read, in their order.
        malformed: How many could not be read.
        error: What was wrong with one of those.
    """

    flows: flows.Flows
    malformed: int = 0
    error: str = ""


def decode_updates(messages: Sequence[bytes], arrived: Times, known: keys.Keys) -> Decoded:
    """What serialized FlowUpdates say.

    Args:
        messages: One flow each.
        arrived: When each came, in ns since 1970, shape (n,).
        known: Gives keys their numbers, which hold until it is asked again.
    """
    parse = goldmane_pb2.NumbersUpdate.FromString
    return _decode(messages, arrived, known, lambda message: parse(message).flow)


def decode_flows(messages: Sequence[bytes], arrived: Times, known: keys.Keys) -> Decoded:
    """What serialized Flows say; arguments as those of ``decode_updates``."""
    return _decode(messages, arrived, known, goldmane_pb2.FlowNumbers.FromString)


def _decode(
    messages: Sequence[bytes],
    arrived: Times,
    known: keys.Keys,
    parse: Callable[[bytes], goldmane_pb2.FlowNumbers],
) -> Decoded:
    rows, serialized, parsed, error = [], [], [], ""
    for row, message in enumerate(messages):
        try:
            flow = parse(message)
        except protobuf.DecodeError:
            error = f"a message of {len(message)} bytes is no flow"
        else:
            rows.append(row)
            serialized.append(flow.key)
            parsed.append(_values(flow))
    numbers = known.number(serialized)
    values = dict(zip(_FIELDS, np.array(parsed, np.int64).reshape(-1, len(_FIELDS)).T, strict=True))
    readable = numbers != keys.UNREADABLE
    good = readable & _possible(values)
    if not good.all():
        error = (
            known.error if not readable.all() else "a flow has a count below zero or a time that cannot be"
        )
    out = np.zeros(int(good.sum()), flows.FLOW)
    out["key"], out["arrived"] = numbers[good], arrived[rows][good]
    _fill(out, {field: column[good] for field, column in values.items()}, _is_source(out["key"], known))
    return Decoded(out, len(messages) - len(out), error)


def _possible(values: dict[str, npt.NDArray[np.int64]]) -> npt.NDArray[np.bool_]:
    """Which flows have numbers that can be, shape (n,): none below zero, no time beyond 64 bits of ns."""
    times = (values["start_time"] <= _LAST_SECOND) & (values["end_time"] <= _LAST_SECOND)
    possible: npt.NDArray[np.bool_] = times & np.all([column >= 0 for column in values.values()], axis=0)
    return possible


def _is_source(numbers: keys.Numbers, known: keys.Keys) -> npt.NDArray[np.bool_]:
    """Which flows the source's end reports, shape (n,)."""
    distinct, places = np.unique(numbers, return_inverse=True)
    reporters = [known[number].reporter for number in distinct.tolist()]
    return np.array([one == enums.Reporter.SRC for one in reporters], bool)[places]


def _fill(
    out: flows.Flows, values: dict[str, npt.NDArray[np.int64]], is_source: npt.NDArray[np.bool_]
) -> None:
    """What goes into the reporting workload and out of it, by the direction of the connection.

    The connection's own direction goes in at its destination and out at its source, also where it was denied
    and there is none (felix/collector/stats.go).
    """
    for what in ("packets", "bytes"):
        inward, outward = values[f"{what}_in"], values[f"{what}_out"]
        out[f"forward_{what}"] = np.where(is_source, outward, inward)
        out[f"reverse_{what}"] = np.where(is_source, inward, outward)
    out["started"], out["ended"] = values["start_time"] * _SECOND, values["end_time"] * _SECOND
    for field, column in _ALIKE.items():
        out[column] = values[field]
