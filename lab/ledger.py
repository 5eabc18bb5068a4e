"""Flow batches of a cluster that is not there: what the nodes of 2,000 pods would report, by the million.

No packet is sent. Workloads call services, a few of them most of the time; connections are short, or live on
and are reported in every interval; an edge has its usual volume; some are denied. The same seed gives the
same rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from model import columns, enums

Ints = npt.NDArray[np.int64]
Vectors = dict[str, npt.NDArray[Any]]

START = 1_767_225_600_000_000_000
"""2026-01-01T00:00:00Z, in nanoseconds since 1970."""

_SECOND = 1_000_000_000
_PORTS = (8080, 80, 443, 5432, 6379, 9090, 3306, 5672, 9092, 8443)
_KINDS = ("Deployment", "Deployment", "Deployment", "StatefulSet", "DaemonSet", "Job")
_ZONES = ("zone-a", "zone-b", "zone-c")
_DNS = 0
"""The service that everybody asks."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large a cluster is and what goes on in it.

    Attributes:
        pods: How many pods there are.
        nodes: How many nodes carry them.
        workloads: How many owners the pods have.
        namespaces: How many namespaces the workloads lie in.
        outside: How many public addresses call in or are called.
        interval_seconds: How often a node reports.
        lasting: The share of connections that live through many intervals, from 0 to 1.
        fresh_edges: Whether each connection comes from a public address of its own: the worst case.
        kubelets: Whether nodes ask their own pods alone, as kubelets do; else each asks all.
    """

    pods: int = 2000
    nodes: int = 40
    workloads: int = 240
    namespaces: int = 24
    outside: int = 2000
    interval_seconds: int = 10
    lasting: float = 0.3
    fresh_edges: bool = False
    kubelets: bool = False


class Cluster:
    """A cluster that reports flows, interval after interval.

    Args:
        seed: Decides everything.
        shape: How large it is.
        start: When the first interval begins, in nanoseconds since 1970.
    """

    def __init__(self, seed: int = 1, shape: Shape | None = None, start: int = START) -> None:
        self._shape = shape or Shape()
        self._random = np.random.default_rng(seed)
        self._now = start
        self._ends = _Ends(self._random, self._shape)
        self._edges = _Edges(self._random, self._shape)
        self._living: Vectors = {}

    def batches(self, rows: int, size: int = 50_000, *, a_second: int = 20_000) -> Iterator[pa.RecordBatch]:
        """Batches of stage ``IDENTITY`` in the order of time.

        Args:
            rows: How many rows there are in all.
            size: How many rows a batch has; the last one may have fewer.
            a_second: How many rows the whole cluster reports a second of its own time, about.
        """
        kept: list[pa.RecordBatch] = []
        held = 0
        while rows:
            while held < min(size, rows):
                kept.append(self._interval(a_second * self._shape.interval_seconds))
                held += len(kept[-1])
            joined = pa.Table.from_batches(kept).combine_chunks().to_batches()[0]
            at = 0
            while held - at >= min(size, rows) and rows:
                taken = min(size, rows)
                yield joined.slice(at, taken)
                at, rows = at + taken, rows - taken
            kept, held = [joined.slice(at)], held - at

    def pods(self) -> Iterator[dict[str, Any]]:
        """Whose each pod's address is, by the columns of `endpoints`; and its ``labels``."""
        texts = {name: (words, codes) for name, (words, codes) in self._ends.text.items() if name != "kind"}
        for pod in range(self._shape.pods):
            told = {name: words[codes[pod]] for name, (words, codes) in texts.items()}
            yield {
                **told, "address": self._ends.address[pod].tobytes(), "uid": told["pod"], "kind": "pod",
                "node": f"node-{self._ends.node[pod]}", "labels_id": int(self._ends.labels[pod]),
                "labels": {"app": told["workload"], "pod-template-hash": f"{pod % 7}"},
            }  # fmt: skip

    def _interval(self, about: int) -> pa.RecordBatch:
        """What all nodes report at the end of the next interval, node after node."""
        length = self._shape.interval_seconds * _SECOND
        count = int(about / 1.6)  # most connections are seen from both ends
        lasting = int(count * self._shape.lasting)
        self._renew(lasting, length)
        brief = self._begin(count - lasting, length)
        brief["ended"] = brief["started"] + (self._random.exponential(0.2, count - lasting) * _SECOND).astype(
            int
        )
        brief["ended"][(brief["verdict"] != 0) | (brief["protocol"] == 17)] = 0
        brief["new"] = np.ones(count - lasting, np.int64)
        both = {name: np.concatenate([brief[name], self._living[name]]) for name in brief}
        self._living["new"][:] = 0
        self._now += length
        return self._report(both)

    def _renew(self, wanted: int, length: int) -> None:
        """A fiftieth of the lasting connections give way to others; their volume is one interval's."""
        fresh = self._begin(wanted if not self._living else max(wanted // 50, 1), length)
        fresh["verdict"][:] = 0
        fresh |= {
            "ended": np.zeros(len(fresh["started"]), np.int64),
            "new": np.ones(len(fresh["started"]), int),
        }
        if not self._living:
            self._living = fresh
        else:
            replaced = self._random.choice(wanted, len(fresh["started"]), replace=False)
            for name, values in fresh.items():
                self._living[name][replaced] = values
        self._living |= self._edges.volume(self._living["edge"], self._random)

    def _begin(self, count: int, length: int) -> Vectors:
        """Connections that begin within the next interval."""
        chosen = self._edges.choose(count, self._random)
        fresh = self._random.integers(0, 2**32, count) if self._shape.fresh_edges else np.full(count, -1)
        src, dst = (
            self._ends.member(groups[chosen], self._random) for groups in (self._edges.src, self._edges.dst)
        )
        if self._shape.kubelets:
            of_nodes = self._edges.src[chosen] == self._ends.nodes
            src = np.where(of_nodes, self._ends.first[self._ends.nodes] + self._ends.node[dst], src)
        return {
            "edge": chosen,
            "src": src,
            "dst": dst,
            "src_port": self._random.integers(32768, 61000, count),
            "started": self._now + self._random.integers(0, length, count),
            "protocol": self._edges.protocol[chosen],
            "verdict": self._edges.verdict[chosen].copy(),
            "fresh": fresh,
            **self._edges.volume(chosen, self._random),
        }

    def _report(self, seen: Vectors) -> pa.RecordBatch:
        """Each connection once for each end that has a node, sorted by the node."""
        ends, edges = self._ends, self._edges
        homes = {side: ends.node[seen[side]] for side in ("src", "dst")}
        same = homes["src"] == homes["dst"]
        from_src = (homes["src"] >= 0) & ~same
        from_dst = (homes["dst"] >= 0) & ~same & (seen["verdict"] != 2)
        parts = [(np.flatnonzero(same), 3), (np.flatnonzero(from_src), 1), (np.flatnonzero(from_dst), 2)]
        rows = np.concatenate([rows for rows, _ in parts])
        reporter = np.concatenate([np.full(len(rows), code) for rows, code in parts])
        node = np.where(reporter == 2, homes["dst"][rows], homes["src"][rows])
        order = np.argsort(node, kind="stable")
        rows, reporter, node = rows[order], reporter[order], node[order]
        picked = {name: values[rows] for name, values in seen.items()}
        moments = self._now + self._random.integers(0, _SECOND // 4, self._shape.nodes)
        picked |= {"reporter": reporter, "node": node, "time": moments[node]}
        return _Rows(picked, ends, edges).batch()


class _Ends:
    """Everything that has an address: pods first, then nodes, then the outside.

    Workload ``w`` owns the pods ``first[w]`` to ``first[w + 1]``; after the workloads come the nodes and the
    outside as one more group each.
    """

    def __init__(self, random: np.random.Generator, shape: Shape) -> None:
        pods, nodes, outside = shape.pods, shape.nodes, shape.outside
        sizes = 1 + random.multinomial(pods - shape.workloads, _skewed(shape.workloads, 0.7))
        owner = np.repeat(np.arange(shape.workloads), sizes)
        self.nodes, self.workloads = shape.workloads, np.full(pods + nodes + outside, -1)
        self.workloads[:pods] = owner
        self.first = np.concatenate([[0], np.cumsum([*sizes, nodes, outside])])
        self.node = np.full(pods + nodes + outside, -1)
        self.node[:pods] = random.integers(0, nodes, pods)
        self.node[pods : pods + nodes] = np.arange(nodes)
        self.address = np.zeros((pods + nodes + outside, 16), np.uint8)
        self.address[:, 10:12] = 0xFF
        place = np.arange(pods)
        self.address[:pods, 12:] = np.stack(
            [np.full(pods, 10), np.full(pods, 65), self.node[:pods], place % 250 + 1], axis=1
        )
        self.address[pods : pods + nodes, 12:] = np.stack(
            [np.full(nodes, 10), np.zeros(nodes), np.zeros(nodes), np.arange(nodes) + 10], axis=1
        )
        self.address[pods + nodes :, 12:] = random.integers(1, 255, (outside, 4))
        self.namespace = np.where(owner >= 0, owner % shape.namespaces, 0)
        self._words(shape, owner, random)

    def _words(self, shape: Shape, owner: Ints, random: np.random.Generator) -> None:
        rest = [""] * (shape.nodes + shape.outside)
        nodes = [f"node-{n}" for n in range(shape.nodes)]
        self.text = {
            "kind": _codes(["pod"] * shape.pods + ["node"] * shape.nodes + ["public"] * shape.outside),
            "namespace": _codes([f"team-{w % shape.namespaces}" for w in owner] + rest),
            "workload_kind": _codes([_KINDS[w % len(_KINDS)] for w in owner] + rest),
            "workload": _codes([f"service-{w}" for w in owner] + nodes + [""] * shape.outside),
            "pod": _codes([f"service-{w}-{random.integers(16**8):08x}" for w in owner] + rest),
        }
        ids = random.integers(1, 2**63, shape.workloads).astype(np.uint64)
        self.labels = np.concatenate([ids[owner], np.zeros(len(rest), np.uint64)])

    def member(self, groups: Ints, random: np.random.Generator) -> Ints:
        """One end out of each group, the first ones more often than the last ones."""
        sizes = self.first[groups + 1] - self.first[groups]
        drawn: Ints = self.first[groups] + (sizes * random.random(len(groups)) ** 1.3).astype(np.int64)
        return drawn


class _Edges:
    """Who calls which service: caller and called as groups of ``_Ends``, port, usual volume, fate."""

    def __init__(self, random: np.random.Generator, shape: Shape) -> None:
        callers = np.repeat(np.arange(shape.workloads), random.integers(1, 7, shape.workloads))
        called = random.choice(shape.workloads, len(callers), p=_skewed(shape.workloads, 0.9))
        everybody, nodes = np.arange(shape.workloads), np.full(shape.workloads, shape.workloads)
        world = np.full(shape.workloads // 10, shape.workloads + 1)
        some = random.choice(shape.workloads, len(world))
        self.src = np.concatenate([callers, everybody, nodes, world, some])
        self.dst = np.concatenate([called, np.full_like(everybody, _DNS), everybody, some, world])
        sizes = (len(callers), len(everybody), len(nodes), len(world), len(some))
        kind = np.repeat(np.arange(5), sizes)
        if shape.fresh_edges:
            self.src[:], kind[:] = shape.workloads + 1, 3
            self.dst[self.dst > shape.workloads] = 1
        self.port = np.where(kind == 4, 443, np.array(_PORTS)[self.dst % len(_PORTS)])
        self.port = np.where(kind == 1, 53, self.port)
        self.protocol = np.where(kind == 1, 17, 6).astype(np.uint8)
        self.serviced = (kind < 2) & (random.random(len(kind)) < 0.9)
        self.translated = kind == 4
        denied = (random.random(len(kind)) < 0.04) & (kind != 1)
        self.verdict = np.where(denied, random.integers(1, 3, len(kind)), 0)
        shares = np.array([0.6, 0.2, 0.08, 0.07, 0.05])
        popularity = np.concatenate([_skewed(size, 1.0) for size in sizes])
        weights = popularity * shares[kind]
        self._sum = np.cumsum(weights) / weights.sum()
        self._packets = np.where(kind == 1, 1.0, np.exp(random.normal(1.8, 0.6, len(kind))))
        self._up = np.where(kind == 1, 70.0, np.exp(random.normal(4.8, 0.5, len(kind))))
        self._down = np.where(kind == 1, 130.0, np.exp(random.normal(5.8, 0.9, len(kind))))
        self._spread = np.where((kind == 1) | (kind == 2), 0.03, 0.35)

    def choose(self, count: int, random: np.random.Generator) -> Ints:
        """Edges by their popularity."""
        return np.searchsorted(self._sum, random.random(count))

    def volume(self, edges: Ints, random: np.random.Generator) -> Vectors:
        """What each connection moves in one interval."""
        spread = np.exp(random.normal(0, 1, len(edges)) * self._spread[edges])
        packets = np.maximum(self._packets[edges] * spread, 1).astype(np.uint64)
        sizes = np.exp(random.normal(0, 1, len(edges)) * self._spread[edges] / 2)
        up = packets * (52 + self._up[edges] * sizes).astype(np.uint64)
        down = packets * (52 + self._down[edges] * sizes).astype(np.uint64)
        return {
            "forward_packets": packets,
            "forward_bytes": up,
            "reverse_packets": packets,
            "reverse_bytes": down,
        }


class _Rows:
    """The columns of rows that are known by connection, edge and reporter."""

    def __init__(self, rows: Vectors, ends: _Ends, edges: _Edges) -> None:
        self._rows, self._ends, self._edges = rows, ends, edges
        self._count = len(rows["edge"])

    def batch(self) -> pa.RecordBatch:
        """All columns of the flow record."""
        schema = columns.schema(columns.Stage.IDENTITY)
        made = {
            **self._numbers(), **self._addresses(), **self._words(), **self._identity("src"),
            **self._identity("dst"),
        }  # fmt: skip
        return pa.RecordBatch.from_arrays(
            [made[f.name] if f.name in made else columns.blank(f.type, self._count) for f in schema],
            schema=schema,
        )

    def _numbers(self) -> dict[str, pa.Array[Any]]:
        rows, edges = self._rows, self._edges
        edge, denied = rows["edge"], rows["verdict"] != 0
        serviced = edges.serviced[edge] & (rows["reporter"] != 2)
        service_port = np.where(edges.port[edge] == 8080, 80, edges.port[edge])
        values = {
            "time": rows["time"], "started": rows["started"], "ended": rows["ended"],
            "src_port": rows["src_port"], "dst_port": edges.port[edge], "protocol": rows["protocol"],
            "service_port": np.where(serviced & ~denied, service_port, 0),
            "snat_port": np.where(edges.translated[edge] & ~denied, rows["src_port"], 0),
            "forward_packets": np.where(denied, 1, rows["forward_packets"]),
            "forward_bytes": np.where(denied, 60, rows["forward_bytes"]),
            "reverse_packets": np.where(denied, 0, rows["reverse_packets"]),
            "reverse_bytes": np.where(denied, 0, rows["reverse_bytes"]),
            "connections_started": rows["new"], "connections_ended": (rows["ended"] > 0) | denied,
        }  # fmt: skip
        kinds = {name: columns.BY_NAME[name].arrow for name in values}
        widths = {name: f"u{kind.bit_width // 8}" for name, kind in kinds.items()}
        return {name: columns.array(values[name].astype(widths[name]), kinds[name]) for name in values}

    def _addresses(self) -> dict[str, pa.Array[Any]]:
        rows, edges, ends = self._rows, self._edges, self._ends
        src, dst = ends.address[rows["src"]], ends.address[rows["dst"]]
        fresh = rows["fresh"] >= 0
        src[fresh, 12:] = rows["fresh"][fresh, None] >> np.array([24, 16, 8, 0]) & 0xFF
        done = rows["verdict"] == 0
        serviced = edges.serviced[rows["edge"]] & (rows["reporter"] != 2) & done
        called = edges.dst[rows["edge"]]
        service = np.zeros((self._count, 16), np.uint8)
        service[serviced, 10:12] = 0xFF
        service[serviced, 12:] = np.stack([np.full(self._count, 10), np.full(self._count, 96),
                                           called // 250, called % 250 + 1], axis=1)[serviced]  # fmt: skip
        translated = edges.translated[rows["edge"]] & done
        snat = np.zeros((self._count, 16), np.uint8)
        nodes = ends.first[ends.nodes] + np.maximum(ends.node[rows["src"]], 0)
        snat[translated] = ends.address[nodes][translated]
        packed = {"src_address": src, "dst_address": dst, "service_address": service, "snat_address": snat}
        return {name: columns.array(values, columns.ADDRESS) for name, values in packed.items()}

    def _words(self) -> dict[str, pa.Array[Any]]:
        rows, edges = self._rows, self._edges
        edge, verdict, reporter = rows["edge"], rows["verdict"], rows["reporter"]
        nodes = ["", *(f"node-{n}" for n in range(int(self._ends.node.max()) + 1))]
        zones = ["", *_ZONES]
        egress = np.where(reporter == 2, 0, np.where(verdict == 2, 2, 1))
        ingress = np.where((reporter == 1) | (verdict == 2), 0, np.where(verdict == 1, 2, 1))
        fate = np.where((verdict == 1) & (reporter == 1), 2, np.where(verdict == 0, 0, 1))
        rules, decided, traced = self._rules(egress, ingress)
        called, serviced = edges.dst[edge], edges.serviced[edge] & (reporter != 2) & (verdict == 0)
        services = [""] + [f"service-{w}" for w in range(int(called.max()) + 1)]
        namespaces = self._ends.text["namespace"]
        ended = np.where(
            rows["protocol"] != 6, 0, np.where(verdict != 0, 1, np.where(rows["ended"] > 0, 3, 2))
        )
        return {
            "node": _text(nodes, rows["node"] + 1),
            "src_node": _text(nodes, self._ends.node[rows["src"]] + 1),
            "dst_node": _text(nodes, self._ends.node[rows["dst"]] + 1),
            "src_zone": _text(zones, self._zone("src")),
            "dst_zone": _text(zones, self._zone("dst")),
            "reporter": _text([r.value for r in enums.Reporter], np.array([3, 0, 1, 2])[reporter]),
            "verdict": _text([v.value for v in enums.Verdict], fate),
            "egress_action": _text(["", "allow", "deny"], egress),
            "ingress_action": _text(["", "allow", "deny"], ingress),
            "policy_trace": _text(*traced),
            "deciding_rule": _text(rules, decided),
            "attribution": _text(["none", "nflog"], decided > 0),
            "tcp_state": _text(["", "syn_sent", "established", "time_wait"], ended),
            "service": _text(services, np.where(serviced, called + 1, 0)),
            "service_namespace": _text(
                ["", *namespaces[0]],
                np.where(serviced, namespaces[1][self._ends.first[called]] + 1, 0),
            ),
            "service_port_name": _text(["", "http"], serviced),
            "node_traffic": _text(["", "probe"], (edges.src[edge] == self._ends.nodes) & (reporter == 3)),
        }

    def _zone(self, side: str) -> Ints:
        """Places in the zones, which the nodes take by turns; 0 for an end that has no node."""
        node = self._ends.node[self._rows[side]]
        found: Ints = np.where(node < 0, 0, node % len(_ZONES) + 1)
        return found

    def _rules(self, egress: Ints, ingress: Ints) -> tuple[list[str], Ints, tuple[list[str], Ints]]:
        """All rules, which one decided each row (0: none), and the traces."""
        groups = int(max(self._edges.src.max(), self._edges.dst.max())) + 1
        rules = [""] + [
            f"{way}|default|knp:team-{w % 24}/service-{w}|{action}|{w % 4 if action == 'allow' else -1}"
            for way in ("egress", "ingress") for action in ("allow", "deny") for w in range(groups)
        ]  # fmt: skip
        src, dst = self._edges.src[self._rows["edge"]], self._edges.dst[self._rows["edge"]]
        left = np.where((egress > 0) & (src < self._ends.nodes), 1 + (egress - 1) * groups + src, 0)
        right = np.where((ingress > 0) & (dst < self._ends.nodes), 1 + (ingress + 1) * groups + dst, 0)
        pairs, codes = np.unique(left * len(rules) + right, return_inverse=True)
        lefts, rights = np.divmod(pairs, len(rules))
        traces = [f"{rules[a]} {rules[b]}".strip() for a, b in zip(lefts, rights, strict=True)]
        return rules, np.where(right > 0, right, left), (traces, codes)

    def _identity(self, side: str) -> dict[str, pa.Array[Any]]:
        who = self._rows[side]
        found = {
            f"{side}_{name}": _text(words, codes[who]) for name, (words, codes) in self._ends.text.items()
        }
        return found | {f"{side}_labels_id": columns.array(self._ends.labels[who], pa.uint64())}


def _skewed(count: int, exponent: float) -> npt.NDArray[np.float64]:
    """Shares that fall with the rank (Zipf)."""
    weights = 1.0 / np.arange(1, count + 1) ** exponent
    shares: npt.NDArray[np.float64] = weights / weights.sum()
    return shares


def _codes(values: list[str]) -> tuple[list[str], Ints]:
    words = sorted(set(values))
    place = {word: i for i, word in enumerate(words)}
    return words, np.array([place[value] for value in values])


def _text(words: list[str], codes: npt.NDArray[Any]) -> pa.Array[Any]:
    return columns.text(words, codes.astype(np.int64))
