"""``bench join``: connections of a busy node, and what its Felix tells of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cli import felix
from cli.bench import measure
from collector import collector
from collector.goldmane import flows as goldmane
from model import address, columns, enums, policyhit

_PAIRS = 5_000
_WORKLOADS = 500
_PODS = 10
"""Of each workload."""
_SECOND = 1_000_000_000
_FLUSH = 15
"""Seconds in a window, as Calico's operator chooses."""
_START = 1_700_000_000
_NODE = "node-1"


def joined(count: int, rate: float) -> Iterator[measure.Measure]:
    """How many connections a second get their traces, on one core.

    Args:
        count: How many connections.
        rate: How many there are a second.
    """
    dice = np.random.default_rng(1)
    pairs = dice.choice(_WORKLOADS**2, _PAIRS, replace=False)
    told = felix.Felix(_NODE)
    seconds = max(round(count / rate), 1)
    spent, hearing, matched, rows = 0.0, 0.0, 0, 0
    for second in range(seconds):
        flows = _flows(dice, pairs, count // seconds, second)
        if second % _FLUSH == 0:
            heard = _told(pairs, second)
            began = time.process_time()
            report = collector.Report(
                node=_NODE, time=_at(second), flows=flows.slice(0, 0), completeness=(), told=heard
            )
            list(told.hold(report, _at(second + _FLUSH + 2)))
            hearing += time.process_time() - began
        began = time.process_time()
        told.settle(told.tell(flows))
        spent += time.process_time() - began
        matched, rows = matched + told.matched, rows + len(flows)
    yield _measure("connections joined", rows / (spent + hearing), "rows/s")
    yield _measure("of a core at the rate", (spent + hearing) / seconds * 100, "%")
    yield _measure("what Felix tells of a window taken in", hearing / -(-seconds // _FLUSH) * 1000, "ms")
    yield _measure("connections with a trace", matched / rows * 100, "%")


def _measure(metric: str, value: float, unit: str) -> measure.Measure:
    return measure.Measure(bench="join", metric=metric, value=value, unit=unit)


def _at(second: int) -> int:
    return (_START + second) * _SECOND


def _name(workload: int) -> str:
    return f"workload-{workload}-6d9f5c8b7"


def _told(pairs: npt.NDArray[np.int64], second: int) -> collector.Told:
    """What is told of one window: of each pair both sides."""
    hits = {
        reporter: policyhit.PolicyHit(
            direction=direction, tier="default", kind="np", namespace="shop", name="all",
            action=enums.Action.ALLOW, rule=0,
        )
        for reporter, direction in (
            (enums.Reporter.SRC, enums.Direction.EGRESS), (enums.Reporter.DST, enums.Direction.INGRESS)
        )
    }  # fmt: skip
    keys = [
        goldmane.Key(
            src=_end(pair // _WORKLOADS), dst=_end(pair % _WORKLOADS), dst_port=8080, reporter=reporter,
            protocol=enums.Protocol.TCP, action=enums.Action.ALLOW, enforced=(hit,), pending=(hit,),
        )
        for pair in pairs.tolist() for reporter, hit in hits.items()
    ]  # fmt: skip
    flows = np.zeros(len(keys), goldmane.FLOW)
    flows["started"], flows["arrived"] = _at(second), _at(second + _FLUSH)
    flows["connections_started"] = 1
    return collector.Told(flows=flows, keys=keys, connected=True)


def _end(workload: int) -> goldmane.End:
    return goldmane.End(kind="WorkloadEndpoint", namespace="shop", name=f"{_name(workload)}-*")


def _flows(
    dice: np.random.Generator, pairs: npt.NDArray[np.int64], count: int, second: int
) -> pa.RecordBatch:
    """Connections of one second, each with names, one row each."""
    chosen = pairs[dice.integers(0, len(pairs), count)]
    pods = dice.integers(0, _PODS, (2, count))
    started = _at(second) + dice.integers(0, _SECOND, count)
    given: dict[str, npt.NDArray[Any]] = {
        "time": np.full(count, _at(second + 1)), "started": started, "ended": started + 1_000_000,
        "src_port": dice.integers(1024, 65535, count).astype(np.uint16),
        "dst_port": np.full(count, 8080, np.uint16), "protocol": np.full(count, 6, np.uint8),
        "connections_started": np.ones(count, np.uint64), "connections_ended": np.ones(count, np.uint64),
    }  # fmt: skip
    texts = {
        "verdict": "allowed", "attribution": "none", "reporter": "both", "node": _NODE, "src_kind": "pod",
        "dst_kind": "pod", "src_namespace": "shop", "dst_namespace": "shop",
    }  # fmt: skip
    made: dict[str, pa.Array[Any]] = {
        name: columns.text([value], np.zeros(count, np.int64)) for name, value in texts.items()
    }
    for side, workload, pod in zip(
        ("src", "dst"), (chosen // _WORKLOADS, chosen % _WORKLOADS), pods, strict=True
    ):
        number = workload * _PODS + pod
        names = [f"{_name(one // _PODS)}-{one % _PODS:05}" for one in range(_WORKLOADS * _PODS)]
        made[f"{side}_pod"] = columns.text(names, number)
        made[f"{side}_workload"] = columns.text([f"workload-{one}" for one in range(_WORKLOADS)], workload)
        made[f"{side}_address"] = columns.array(_addresses(number), columns.ADDRESS)
    schema = columns.schema(columns.Stage.IDENTITY)
    arrays = [
        made[field.name] if field.name in made
        else columns.array(given[field.name], field.type) if field.name in given
        else columns.blank(field.type, count)
        for field in schema
    ]  # fmt: skip
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _addresses(numbers: npt.NDArray[np.int64]) -> address.Packed:
    return address.map_v4(
        (np.uint32(10 << 24) + numbers.astype(np.uint32)).astype(">u4").view(np.uint8).reshape(-1, 4)
    )
