"""``bench enrich``: names for flows, in a cluster of 50,000 pods whose addresses changed hands all day."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cli.bench import measure
from enrich import enricher, identity, services, timeline
from model import address, columns, enums

_PODS = 50_000
_OWNERS_A_DAY = 5
"""How many pods an address has in a day."""
_WORKLOADS = 2_500
_NODES = 1_000
_SERVICES = 500
_NETWORKS = 100
_BATCH_ROWS = 100_000
_SECOND = 1_000_000_000
_DAY = 86_400 * _SECOND
_MINUTE = 60 * _SECOND
_OUTSIDE = 0.1
"""The part of the flows that has an end outside of the cluster."""


def names(count: int) -> Iterator[measure.Measure]:
    """How many flows a second get their names, and how many addresses are looked up.

    Args:
        count: How many flows.
    """
    dice = np.random.default_rng(1)
    pods = _addresses(_PODS)
    claims = list(_claims(pods))
    began = time.process_time()
    who = timeline.Timeline(claims, _networks())
    named = enricher.Enricher(who, services.Services(_services()))
    yield _measure("claims in memory", len(claims), "claims")
    yield _measure("index made of them", time.process_time() - began, "s")
    for label, earliest in (("of the last minute", _DAY - _MINUTE), ("of a whole day", 0)):
        batches = [_flows(dice, pods, earliest) for _ in range(-(-count // _BATCH_ROWS))]
        rows = sum(map(len, batches))
        named.enrich(batches[0])  # the first one meets pages that were never used
        began = time.process_time()
        for batch in batches:
            named.enrich(batch)
        yield _measure(f"flows {label} named", rows / (time.process_time() - began), "rows/s")
        asked = [
            (columns.packed(batch, "src_address"), columns.numbers(batch.column("started")))
            for batch in batches
        ]
        began = time.process_time()
        for packed, times in asked:
            who.find(packed, times)
        yield _measure(f"addresses {label} found", rows / (time.process_time() - began), "look-ups/s")


def _measure(metric: str, value: float, unit: str) -> measure.Measure:
    return measure.Measure(bench="enrich", metric=metric, value=value, unit=unit)


def _addresses(count: int) -> address.Packed:
    """Different addresses of pods, as a cluster hands them out: blocks of a /12."""
    numbers = (np.uint32(10 << 24) + np.arange(256, 256 + count, dtype=np.uint32)).astype(">u4")
    return address.map_v4(numbers.view(np.uint8).reshape(-1, 4))


def _claims(pods: address.Packed) -> Iterator[identity.Claim]:
    for turn in range(_OWNERS_A_DAY):
        start = turn * _DAY // _OWNERS_A_DAY
        end = identity.FOREVER if turn == _OWNERS_A_DAY - 1 else start + _DAY // _OWNERS_A_DAY
        for number, one in enumerate(pods):
            workload, name = number % _WORKLOADS, f"{turn}-{number}"
            who = identity.Identity(
                kind=enums.EndpointKind.POD, namespace=f"namespace-{workload % 200}",
                workload_kind="Deployment", workload=f"workload-{workload}",
                pod=f"workload-{workload}-{name}", node=f"node-{number % _NODES}", labels_id=workload + 1,
            )  # fmt: skip
            yield identity.Claim(
                address=one.tobytes(), uid=name, identity=who, valid_from=start, sure_from=start + _SECOND,
                sure_to=end, valid_to=min(end, identity.FOREVER - _SECOND) + _SECOND,
            )  # fmt: skip


def _networks() -> list[identity.NetworkName]:
    return [
        identity.NetworkName(
            network=f"198.{18 + number // 50}.{number}.0/24", valid_from=0, valid_to=identity.FOREVER,
            identity=identity.Identity(kind=enums.EndpointKind.NETWORK_SET, workload=f"set-{number}"),
        )
        for number in range(_NETWORKS)
    ]  # fmt: skip


def _service_address(number: int) -> bytes:
    return address.pack(f"10.96.{number // 200}.{number % 200 + 1}")


def _services() -> list[identity.ServicePort]:
    return [
        identity.ServicePort(
            address=_service_address(number), port=port, protocol=enums.Protocol.TCP.value,
            namespace=f"namespace-{number % 200}", service=f"service-{number}", port_name=f"port-{port}",
            valid_from=0, valid_to=identity.FOREVER,
        )
        for number in range(_SERVICES) for port in (80, 443)
    ]  # fmt: skip


def _flows(dice: np.random.Generator, pods: address.Packed, earliest: int) -> pa.RecordBatch:
    """A batch of flows between any pods, a part of them dialled by a service, or with the world."""
    there = np.frombuffer(b"".join(map(_service_address, range(_SERVICES))), np.uint8).reshape(-1, 16)
    src, dst = (pods[dice.integers(0, len(pods), _BATCH_ROWS)] for _ in range(2))
    outside = dice.random(_BATCH_ROWS) < _OUTSIDE
    src[outside, 12:] = dice.integers(0, 256, (outside.sum(), 4))
    dialled = np.where(dice.random(_BATCH_ROWS) < 0.5, 1, 0).astype(np.uint8)[:, None]
    given = {
        "src_address": src, "dst_address": dst,
        "service_address": there[dice.integers(0, _SERVICES, _BATCH_ROWS)] * dialled,
        "service_port": np.where(dialled[:, 0], 80, 0).astype(np.uint16),
        "protocol": np.full(_BATCH_ROWS, enums.Protocol.TCP.value, np.uint8),
        "started": dice.integers(earliest, _DAY, _BATCH_ROWS),
    }  # fmt: skip
    schema = columns.schema(columns.Stage.JOIN)
    arrays = [_column(field.type, given.get(field.name)) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _column(kind: pa.DataType, values: npt.NDArray[np.generic] | None) -> pa.Array[Any]:
    return columns.blank(kind, _BATCH_ROWS) if values is None else columns.array(values, kind)
