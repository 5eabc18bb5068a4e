"""The record: who was seen to talk to whom, as columns over distinct edges, and what is known of the ends.

Pods that policies cannot tell apart stand together as one *variant* of their workload: those of a version of
a Deployment, say. The record has all variants that there were, also those that nothing was seen of.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model import address, cluster, columns, enums

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]

_MOST = 2**62
"""Of so many combinations of numbers each has a number of its own."""
_TEXTS = ("kind", "namespace", "workload_kind", "workload", "pod")


@dataclasses.dataclass(frozen=True, slots=True)
class Workload:
    """What owns pods; a bare pod is its own, of kind ``Pod``."""

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Pods of one workload that policies cannot tell apart but by their addresses.

    Attributes:
        labels_id: Number of the label set.
        addresses: Those of one of them, of each family.
        pods: How many of them there were in the span; 0 where nobody has counted.
        first: When the first of them was there, in ns since 1970; 0 where that is unknown.
        last: When the last of them was gone; 0 while one is there, or where that is unknown.
        longest: For how long the one was there that was there longest, in ns.
    """

    workload: Workload
    labels_id: int = 0
    labels: Mapping[str, str]
    account: str = "default"
    ports: tuple[cluster.ContainerPort, ...] = ()
    addresses: tuple[str, ...] = ()
    pods: int = 0
    first: int = 0
    last: int = 0
    longest: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """Distinct edges of a span.

    Attributes:
        variants: The pods there were.
        packed: The addresses of ends that are no pods, shape (m, 16).
        kinds: What each of these is (``public``, ``node``, ...).
        names: Name of its node, host endpoint or network set; empty where it has none.
        namespaces: Namespace of its network set; empty for others.
        src: Number of the variant, or ``-1 - a`` for address number ``a``; and ``dst``.
        family: 4 or 6; 0 between pods where nobody knows: it may have been both.
        verdict: As in flows; and ``attribution``.
        connections: How many began in the span; 0 for those that had begun before.
        first: When it was first seen, in ns since 1970; and ``last``.
        hours: In which hours since 1970 it was seen: edge ``i`` in those from ``starts[i]`` up to
            ``starts[i + 1]``.
    """

    variants: tuple[Variant, ...]
    packed: address.Packed
    kinds: tuple[str, ...]
    names: tuple[str, ...]
    namespaces: tuple[str, ...]
    src: Codes
    dst: Codes
    protocol: Codes
    port: Codes
    icmp_type: Codes
    icmp_code: Codes
    family: Codes
    verdict: npt.NDArray[np.object_]
    attribution: npt.NDArray[np.object_]
    connections: Ints
    forward_packets: Ints
    reverse_packets: Ints
    bytes: Ints
    first: Ints
    last: Ints
    starts: Ints
    hours: npt.NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.src)

    @functools.cached_property
    def workloads(self) -> tuple[Workload, ...]:
        """The different workloads."""
        return tuple(dict.fromkeys(one.workload for one in self.variants))

    @functools.cached_property
    def workload_of(self) -> Codes:
        """The number of each variant's workload."""
        number = {one: i for i, one in enumerate(self.workloads)}
        return np.fromiter((number[one.workload] for one in self.variants), np.int32, len(self.variants))

    def owners(self, ends: Codes) -> Codes:
        """The number of each end's workload; -1 for an address."""
        owned = np.append(self.workload_of, np.int32(-1))
        return owned[np.where(ends < 0, len(self.variants), ends)]

    def name(self, end: int) -> str:
        """What people call an end: its workload, or its name, or its address."""
        if end >= 0:
            return str(self.variants[end].workload)
        at = -1 - end
        text = address.render(self.packed[at].tobytes())
        if not self.names[at]:
            return text
        owner = "/".join(filter(None, (self.namespaces[at], self.names[at])))
        return f"{owner} ({text})" if text else owner

    def hours_of(self, edges: npt.NDArray[np.integer]) -> npt.NDArray[np.uint32]:
        """The different hours in which any of some edges was seen."""
        found = [self.hours[self.starts[i] : self.starts[i + 1]] for i in edges.tolist()]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, np.uint32)

    def take(self, edges: npt.NDArray[np.integer]) -> Record:
        """Some of the edges, with all variants."""
        lengths = np.diff(self.starts)[edges]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        at = np.repeat(self.starts[edges] - starts[:-1], lengths) + np.arange(starts[-1])
        columns_ = {name: getattr(self, name)[edges] for name in _COLUMNS}
        return dataclasses.replace(self, **columns_, starts=starts, hours=self.hours[at])


_COLUMNS = (
    "src", "dst", "protocol", "port", "icmp_type", "icmp_code", "family", "verdict", "attribution",
    "connections", "forward_packets", "reverse_packets", "bytes", "first", "last",
)  # fmt: skip


def read(
    found: pa.Table, known: Iterable[Variant], labels: Mapping[int, Mapping[str, str]] | None = None
) -> Record:
    """The record that a ledger's observations are.

    Args:
        found: The columns that `store.observations` says.
        known: The pods that there were.
        labels: Label sets by their numbers, for pods of which nothing else is known.
    """
    variants = {(one.workload, one.labels_id): one for one in known}
    outside: dict[tuple[str, str, str, bytes], int] = {}
    sides = [_ends(found, side, variants, labels or {}, outside) for side in ("src", "dst")]
    order: dict[Any, int] = {key: i for i, key in enumerate(variants)}
    numbers = order | {key: -1 - i for key, i in outside.items()}
    src, dst = (np.array([numbers[key] for key in keys], np.int32)[of] for keys, of in sides)
    whole: dict[str, Any] = {
        name: _numbers(found, column).astype(np.int32)
        for name, column in (
            ("protocol", "protocol"), ("port", "dst_port"), ("icmp_type", "icmp_type"),
            ("icmp_code", "icmp_code"), ("family", "family"),
        )
    }  # fmt: skip
    whole |= {
        name: _numbers(found, column).astype(np.int64)
        for name, column in (
            ("connections", "connections"), ("forward_packets", "forward_packets"),
            ("reverse_packets", "reverse_packets"), ("bytes", "bytes"), ("first", "first_seen"),
            ("last", "last_seen"),
        )
    }  # fmt: skip
    packed = np.frombuffer(b"".join(key[3] for key in outside), np.uint8).reshape(-1, 16)
    whole["family"] = _family(whole["family"], packed, src, dst)
    hours: Any = found.column("hours").combine_chunks()
    lengths = columns.numbers(hours.value_lengths())
    return Record(
        variants=tuple(variants.values()), src=src, dst=dst,
        packed=packed, kinds=tuple(key[0] for key in outside), names=tuple(key[2] for key in outside),
        namespaces=tuple(key[1] for key in outside),
        verdict=_texts(found, "verdict"), attribution=_texts(found, "attribution"),
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        hours=columns.numbers(hours.flatten()), **whole,
    )  # fmt: skip


def _family(told: Codes, packed: address.Packed, src: Codes, dst: Codes) -> Codes:
    """The family of each edge: as it was told, or that of an end that is an address."""
    of = np.where(address.is_v4(*address.words(packed)), 4, 6) if len(packed) else np.zeros(1, np.int64)
    found = told
    for ends in (src, dst):
        outside = (ends < 0) & (found == 0)
        found = np.where(outside, of[np.where(outside, -1 - ends, 0)], found)
    return found.astype(np.int32)


def _ends(
    found: pa.Table, side: str, variants: dict[tuple[Workload, int], Variant],
    labels: Mapping[int, Mapping[str, str]], outside: dict[tuple[str, str, str, bytes], int],
) -> tuple[list[Any], Ints]:  # fmt: skip
    """The different ends of one side by what they are known by, and which of them each edge has.

    What nobody has heard of yet is put into ``variants`` and ``outside``.
    """
    coded = [_coded(found, f"{side}_{name}") for name in (*_TEXTS, "labels_id", "address")]
    first, of = distinct(*(codes for codes, _ in coded))
    keys: list[Any] = []
    for row in zip(
        *([values[code] for code in codes[first].tolist()] for codes, values in coded), strict=True
    ):
        kind, namespace, workload_kind, workload, pod, labels_id, packed = row
        if kind != enums.EndpointKind.POD:
            end = (kind, namespace, workload, packed)
            outside.setdefault(end, len(outside))
            keys.append(end)
            continue
        owner = Workload(namespace, workload_kind or "Pod", workload or pod)
        keys.append((owner, labels_id))
        if (owner, labels_id) not in variants:
            variants[owner, labels_id] = Variant(
                workload=owner, labels_id=labels_id, labels=labels.get(labels_id, {})
            )
    return keys, of


def distinct(*columns: npt.NDArray[np.integer[Any] | np.bool_]) -> tuple[Rows, Rows]:
    """The first row of each different combination of numbers, and which combination each row has."""
    key, size = np.zeros(len(columns[0]), np.int64), 1
    for column in columns:
        low = int(column.min(initial=0))
        codes, count = column.astype(np.int64) - low, int(column.max(initial=0)) - low + 1
        if size * count > _MOST:
            codes = np.unique(codes, return_inverse=True)[1]
            key = np.unique(key, return_inverse=True)[1].astype(np.int64)
            size, count = int(key.max(initial=0)) + 1, int(codes.max(initial=0)) + 1
        key, size = key * count + codes, size * count
    _, first, of = np.unique(key, return_index=True, return_inverse=True)
    return first.astype(np.int64), of.astype(np.int64)


def _coded(found: pa.Table, name: str) -> tuple[Ints, list[Any]]:
    """A column as codes into its different values."""
    encoded: Any = found.column(name).combine_chunks().dictionary_encode()
    return columns.numbers(encoded.indices).astype(np.int64), encoded.dictionary.to_pylist()


def _numbers(found: pa.Table, name: str) -> npt.NDArray[Any]:
    return columns.numbers(found.column(name).combine_chunks())


def _texts(found: pa.Table, name: str) -> npt.NDArray[np.object_]:
    codes, values = _coded(found, name)
    return np.array([*values, ""], object)[codes]


def families(variants: Sequence[Variant]) -> Mask:
    """Whether each variant has an address of IPv4, and of IPv6, shape (n, 2); both where nobody knows one."""
    has = np.zeros((len(variants), 2), bool)
    for i, one in enumerate(variants):
        for text in one.addresses:
            has[i, int(":" in text)] = True
    return has | ~has.any(axis=1, keepdims=True)
