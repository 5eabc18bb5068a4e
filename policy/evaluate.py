"""What policies do to connections, a million at once: verdict, deciding rule, and what was met on the way."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model import cluster, enums, policyhit
from policy import objects, program, services, transports, ways, world

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]

_SPARSE = 16
"""Up to so many possible values for each that there is, a table of all is faster than sorting."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """Connections, as columns of one length, after service translation.

    Attributes:
        ends: The ends that there are, of which ``src`` and ``dst`` are numbers.
        icmp_type: Type and code of an ICMP message; of no matter for other protocols.
    """

    ends: world.Ends
    src: Codes
    dst: Codes
    protocol: npt.NDArray[np.integer]
    src_port: npt.NDArray[np.integer]
    dst_port: npt.NDArray[np.integer]
    icmp_type: npt.NDArray[np.integer]
    icmp_code: npt.NDArray[np.integer]

    def __len__(self) -> int:
        return len(self.src)


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """What the policies of one endpoint say in one chain, as columns.

    Attributes:
        direction: Whose rules were asked: those about what comes in, or about what goes out.
        chain: Which chain.
        subjects: The number of the endpoint among the pods, or among the host endpoints if ``hosts``.
        judged: Whether they had a say.
        decided: Whether they have allowed or denied it.
        denied: What they said; false where they had no say.
        traces: The number of the trace, among `Traces`; 0 where they had no say.
    """

    direction: enums.Direction
    chain: program.Chain
    hosts: bool
    subjects: Codes
    judged: Mask
    decided: Mask
    denied: Mask
    traces: Codes

    def take(self, rows: Codes, subjects: Codes) -> Part:
        """Some of the rows, and what their subjects are called."""
        judged, decided, denied = (mask[rows] for mask in (self.judged, self.decided, self.denied))
        return Part(
            self.direction, self.chain, self.hosts, subjects, judged, decided, denied, self.traces[rows]
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Side:
    """What one direction says, as columns.

    Attributes:
        judged: Whether policies had a say: an end is a subject, and nothing exempts the connection.
        denied: What they said; false where they had no say.
        traces: The number of the trace, among `Traces`; 0 where they had no say.
        parts: What each endpoint on the way said, in the order in which it is asked.
    """

    judged: Mask
    denied: Mask
    traces: Codes
    parts: tuple[Part, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """What both directions say about each connection."""

    egress: Side
    ingress: Side

    @property
    def denied(self) -> Mask:
        """Whether either end's policies deny it."""
        return self.egress.denied | self.ingress.denied


class Traces:
    """Sequences of hits, each under a number; 0 is the empty one."""

    def __init__(self) -> None:
        self._hits: list[tuple[int, ...]] = [()]
        self._known: dict[tuple[int, int], int] = {}

    def extend(self, traces: Codes, hits: Codes) -> Codes:
        """Each trace with one more hit."""
        key = traces.astype(np.int64) << 32 | hits
        heads = np.flatnonzero(np.append(True, key[1:] != key[:-1]))  # neighbours are alike
        found, of = np.unique(key[heads], return_inverse=True)
        codes = np.array([self._code(one >> 32, one & 0xFFFFFFFF) for one in found.tolist()], np.int32)
        return np.repeat(codes[of], np.diff(np.append(heads, len(key))))

    def join(self, first: Codes, then: Codes) -> Codes:
        """Each trace with another one behind it."""
        found, of = np.unique(first.astype(np.int64) << 32 | then, return_inverse=True)
        codes = []
        for pair in found.tolist():
            code = pair >> 32
            for hit in self._hits[pair & 0xFFFFFFFF]:
                code = self._code(code, hit)
            codes.append(code)
        return np.array(codes, np.int32)[of]

    def _code(self, trace: int, hit: int) -> int:
        code = self._known.get((trace, hit))
        if code is None:
            code = self._known[trace, hit] = len(self._hits)
            self._hits.append((*self._hits[trace], hit))
        return code

    def texts(self, hits: list[policyhit.PolicyHit]) -> list[str]:
        """Each trace in the text form that flows have it in."""
        rendered = [hit.render() for hit in hits]
        return [" ".join(rendered[number] for number in trace) for trace in self._hits]

    def __getitem__(self, code: int) -> tuple[int, ...]:
        """The numbers of the hits of a trace."""
        return self._hits[code]

    def __len__(self) -> int:
        return len(self._hits)


class Engine:
    """The policies of a cluster, compiled; asked as often as wanted.

    Args:
        policies: The policies.
        found: The cluster that they apply to.

    Attributes:
        world: Who there is.
        programs: The programs of pods, by direction.
        of_hosts: Those of host endpoints, by direction and chain.
        traces: The traces that judgements have made.
    """

    def __init__(self, policies: objects.PolicySet, found: cluster.Cluster) -> None:
        self.policies, self.cluster = policies, found
        behind = services.behind(found)
        networks = [*world.networks_of(policies), *(net for each in behind.values() for net, _, _ in each)]
        self.world = world.World(found, networks)
        self._compiler = program.Compiler(behind)
        self.programs = {
            direction: self._compiler.programs(policies, direction, self.world)
            for direction in enums.Direction
        }
        self.of_hosts = {
            (direction, chain): self._compiler.of_hosts(policies, direction, self.world, chain)
            for direction in enums.Direction for chain in program.Chain if len(self.world.hosts)
        }  # fmt: skip
        self.traces = Traces()

    @property
    def hits(self) -> list[policyhit.PolicyHit]:
        """The rules that can decide, by their numbers."""
        return list(self._compiler.hits)

    def selecting(self, pod: int, direction: enums.Direction) -> tuple[objects.Policy, ...]:
        """The policies that judge a pod, by its number, in one direction; in the order in which they do."""
        return self.programs[direction].selecting[int(self.world.labels.codes[pod])]

    def selecting_at(self, part: Part, subject: int) -> tuple[objects.Policy, ...]:
        """The policies of an endpoint that are asked in a part of a judgement."""
        if part.hosts:
            return self.of_hosts[part.direction, part.chain].selecting[subject]
        return self.selecting(subject, part.direction)

    def pending(self) -> Engine | None:
        """What it would be if all that is staged were enforced, beside its namesake; None if nothing is."""
        if not self.policies.staged:
            return None
        return Engine(self.policies.pending(), self.cluster)

    def trace(self, codes: Codes) -> list[tuple[policyhit.PolicyHit, ...]]:
        """The hits of each trace."""
        hits = self.hits
        return [tuple(hits[number] for number in self.traces[code]) for code in codes.tolist()]

    def judge(self, edges: Edges) -> Judgement:
        """What the policies say about each connection."""
        classes, of = self.world.classes(edges.ends)
        exempt, local = self._exemptions(edges)
        packets, packet = self._packets(edges, classes, of)
        out, into = ways.ways(self.world, edges.ends, edges.src, edges.dst)
        hosts = len(self.world.hosts) + 1
        cases, case = _distinct(
            (of[edges.src], len(classes)), (of[edges.dst], len(classes)),
            (packet, len(packets.protocol)), (exempt, 2), (local, 2),
            *((stop.hosts + 1, hosts) for way in (out, into) for stop in way),
        )  # fmt: skip
        src, dst, free = of[edges.src][cases], of[edges.dst][cases], exempt[cases]
        run = _Run(self._compiler, self.world, classes, packets, self.traces, _Cases(src, dst, packet[cases]))
        sides = []
        for direction, end, subject, spared, way in (
            (enums.Direction.EGRESS, edges.src, src, free, out),
            (enums.Direction.INGRESS, edges.dst, dst, free | local[cases], into),
        ):
            parts = self._parts(run, direction, classes.labels[subject], spared, way.take(cases))
            numbers = [*(stop.hosts for stop in way.before), edges.ends.pods[end]]
            numbers += [stop.hosts for stop in way.after]
            sides.append(self._side([
                part.take(case, subjects) for part, subjects in zip(parts, numbers, strict=True)
            ]))  # fmt: skip
        return Judgement(*sides)

    def _parts(
        self, run: _Run, direction: enums.Direction, labels: Codes, spared: Mask, way: ways.Way
    ) -> list[Part]:
        """What each endpoint on the way says; none is asked behind one that has denied it."""
        before = list(self._hosts(run, way.before, np.zeros(len(labels), bool)))
        denied = _any([part.denied for part in before], len(labels))
        pods = run.part(self.programs[direction], labels, spared | denied, direction)
        return [*before, pods, *self._hosts(run, way.after, denied | pods.denied)]

    def _hosts(self, run: _Run, stops: Sequence[ways.Stop], spared: Mask) -> Iterator[Part]:
        """What a host endpoint says, chain by chain until one decides."""
        for stop in stops:
            programs = self.of_hosts[stop.direction, stop.chain]
            part = run.part(programs, stop.hosts, spared, stop.direction, stop.chain)
            spared = spared | part.decided
            yield part

    def _side(self, parts: Sequence[Part]) -> Side:
        traces = parts[0].traces
        for part in parts[1:]:
            traces = self.traces.join(traces, part.traces)
        return Side(
            np.logical_or.reduce([part.judged for part in parts]),
            np.logical_or.reduce([part.denied for part in parts]), traces, tuple(parts),
        )  # fmt: skip

    def _exemptions(self, edges: Edges) -> tuple[Mask, Mask]:
        """Connections of a pod to its own address; and those of a node to a pod of its own."""
        pods, nodes = edges.ends.pods, self.world.nodes_of(edges.ends)
        src, dst = edges.src, edges.dst
        texts = np.ascontiguousarray(edges.ends.packed).view("S16").ravel()
        itself = (texts[src] == texts[dst]) & (pods[src] != world.NOBODY)
        local = (pods[src] == world.NOBODY) & (pods[dst] != world.NOBODY)
        local &= (nodes[src] == nodes[dst]) & (nodes[src] != world.NOBODY)
        return itself, local

    def _packets(self, edges: Edges, classes: world.Classes, of: Codes) -> tuple[transports.Packets, Codes]:
        """The different packets as far as rules can tell, and which of them each connection begins with."""
        asked = list(self._compiler.transports)
        pieces = _pieces(transports.cuts(asked))
        protocol, sizes = edges.protocol.astype(np.int64), len(pieces)
        zero = np.zeros(len(edges), np.int32)
        src_piece = dst_piece = src_names = dst_names = icmp_type = icmp_code = zero
        sides = [(one.source, one.destination) for one in asked]
        if any(source != transports.Side() for source, _ in sides):
            src_piece = pieces[edges.src_port]
            src_names = self.world.names.find(classes.tables[of[edges.src]], protocol, edges.src_port)
        if any(destination != transports.Side() for _, destination in sides):
            dst_piece = pieces[edges.dst_port]
            dst_names = self.world.names.find(classes.tables[of[edges.dst]], protocol, edges.dst_port)
        if any(one.icmp or one.not_icmp for one in asked):
            icmp_type, icmp_code = edges.icmp_type.astype(np.int64), edges.icmp_code.astype(np.int64)
        family = classes.families[of[edges.dst]]
        sets = len(self.world.names)
        first, codes = _distinct(
            (family, 8), (protocol, 256), (dst_piece, sizes), (dst_names, sets), (src_piece, sizes),
            (src_names, sets), (icmp_type, 256), (icmp_code, 256),
        )  # fmt: skip
        packets = transports.Packets(
            family=family, protocol=protocol, src_port=edges.src_port, dst_port=edges.dst_port,
            icmp_type=icmp_type, icmp_code=icmp_code, src_names=src_names, dst_names=dst_names,
        )  # fmt: skip
        return packets.take(first), codes


@dataclasses.dataclass(frozen=True, slots=True)
class _Cases:
    """Connections that are different to rules.

    Attributes:
        src: The class of each source.
        dst: The class of each destination.
        kind: Which packet it begins with.
    """

    src: Codes
    dst: Codes
    kind: Codes


class _Run:
    """Programs run over the different cases of one question."""

    def __init__(
        self, compiler: program.Compiler, whole: world.World, classes: world.Classes,
        packets: transports.Packets, traces: Traces, cases: _Cases,
    ) -> None:  # fmt: skip
        self._traces, self._cases = traces, cases
        self._whoms = np.array([classes.matching(whom) for whom in compiler.whoms])
        self._transports = np.array([
            transports.matching(one, packets, whole.names) for one in compiler.transports
        ])  # fmt: skip

    def part(
        self, programs: program.Programs, subjects: Codes, spared: Mask, direction: enums.Direction,
        host_chain: program.Chain | None = None,
    ) -> Part:  # fmt: skip
        """What some programs say about each case.

        Args:
            programs: The programs.
            subjects: What each case's has the number of; -1 where it is no subject.
            spared: Where policies have no say.
            direction: Which direction they are of.
            host_chain: Which chain of host endpoints it is, if they are theirs.
        """
        at = np.append(programs.starts, np.int32(program.NO_PROGRAM))[subjects]
        judged = (at != program.NO_PROGRAM) & ~spared
        decided, denied, traces = (
            np.zeros(len(at), bool),
            np.zeros(len(at), bool),
            np.zeros(len(at), np.int32),
        )
        order = np.flatnonzero(judged)
        # what goes through the same steps stands together
        order = order[np.argsort(at[order], kind="stable")]
        at = at[order]
        src, dst, kind = (each[order] for each in (self._cases.src, self._cases.dst, self._cases.kind))
        met = np.zeros(len(order), np.int32)
        while len(order):
            hit = self._asked(programs, at, src, dst, kind)
            rows = np.flatnonzero(hit)
            if not len(rows):
                at += 1
                continue
            steps = at[rows]
            met[rows] = self._extended(met[rows], programs.hits[steps])
            at += 1
            at[rows] = programs.jumps[steps]
            actions = programs.actions[steps]
            ended = rows[actions != program.PASS]
            if len(ended):
                done, how = order[ended], actions[actions != program.PASS]
                denied[done], decided[done] = how == program.DENY, how != program.LEAVE
                traces[done] = met[ended]
                left = np.ones(len(order), bool)
                left[ended] = False
                order, at, met = order[left], at[left], met[left]
                src, dst, kind = src[left], dst[left], kind[left]
        chain = host_chain or program.Chain.NORMAL
        return Part(direction, chain, host_chain is not None, subjects, judged, decided, denied, traces)

    def _extended(self, traces: Codes, hits: Codes) -> Codes:
        """Each trace with one more hit, where a rule was hit."""
        by_rule = hits != program.NO_HIT
        if by_rule.all():
            return self._traces.extend(traces, hits)
        found = traces.copy()
        if by_rule.any():
            found[by_rule] = self._traces.extend(traces[by_rule], hits[by_rule])
        return found

    def _asked(self, programs: program.Programs, at: Codes, src: Codes, dst: Codes, kind: Codes) -> Mask:
        found: Mask = self._transports[programs.transports[at], kind]
        for whoms, ends in ((programs.sources[at], src), (programs.destinations[at], dst)):
            if whoms.any():
                found &= self._whoms[whoms, ends]
        return found


def _any(masks: Sequence[Mask], count: int) -> Mask:
    found: Mask = np.logical_or.reduce([np.zeros(count, bool), *masks])
    return found


def _pieces(cuts: npt.NDArray[np.int64]) -> Codes:
    """For each port the number of the piece of the port space that it lies in."""
    return (np.searchsorted(cuts, np.arange(65536), side="right") - 1).astype(np.int32)


def _distinct(*columns: tuple[npt.NDArray[np.integer[Any] | np.bool_], int]) -> tuple[Rows, Codes]:
    """The first row of each different combination, and which combination each row has.

    Args:
        columns: Numbers from 0 on, each with how many of them there can be.
    """
    codes: npt.NDArray[np.integer[Any]] = columns[0][0].astype(np.int64)
    size = columns[0][1]
    for column, count in columns[1:]:
        if size * count > 2**62:
            first, codes = _numbered(codes, size)
            size = len(first)
        codes, size = codes.astype(np.int64) * count + column, size * count
    return _numbered(codes, size)


def _numbered(codes: npt.NDArray[np.integer[Any]], size: int) -> tuple[Rows, Codes]:
    if size > _SPARSE * len(codes):
        _, at, of = np.unique(codes, return_index=True, return_inverse=True)
        return at.astype(np.int64), of.astype(np.int32)
    first = np.full(size, -1, np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    there = np.flatnonzero(first >= 0)
    place = np.zeros(size, np.int32)
    place[there] = np.arange(len(there), dtype=np.int32)
    return first[there], place[codes]
