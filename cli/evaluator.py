"""Flows that no source has told a rule of, and what the policies say of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collector import traces
from enrich import enricher, identity, names
from model import address, cluster, columns, enums, manifest
from policy import evaluate, objects, parse, world
from policy import subjects as endpoints

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]

Labels = Callable[[Collection[int]], Mapping[int, dict[str, str]]]

_Alike = tuple[str, int, str, str, str]
"""What policies tell pods apart by: namespace, label set, service account, node, ports."""

_AT_ONCE = 1_000
"""So many flows are judged together: what is held for each is given back before the next."""
_SETTLED = 30 * 1_000_000_000
"""So long after a change of policies a dataplane does what they say."""
_FILLED = ("egress_action", "ingress_action", "policy_trace", "deciding_rule", "attribution")
_HERE = {
    enums.Direction.EGRESS: (enums.Reporter.SRC, enums.Reporter.BOTH),
    enums.Direction.INGRESS: (enums.Reporter.DST, enums.Reporter.BOTH),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """What policies are in force.

    Attributes:
        serial: Another one after each change; 0 before any is known, -1 where not all are understood.
        changed: When that was, in ns since 1970.
        around: What they are read with: namespaces, accounts, network sets.
        policies: Those that can select pods of some namespaces, and the tiers and profiles.
    """

    serial: int
    changed: int
    around: Callable[[], Iterable[manifest.Document]]
    policies: Callable[[Collection[str]], Iterable[manifest.Document]]


class Evaluator:
    """Judges flows of this node's pods. It keeps the policies that select these, as Felix does."""

    def __init__(self) -> None:
        self._serial = 0
        self._subjects: dict[_Alike, cluster.Pod] = {}
        self._policies = objects.policy_set((), (), ())
        self._around = cluster.Cluster()

    def attribute(
        self, flows: pa.RecordBatch, known: names.Names, labels: Labels, given: Given
    ) -> pa.RecordBatch:
        """The same flows; with the trace that the policies give those of which no rule is known.

        A flow of which they say something else than was done to it stays without. So does one that is older
        than the last change of them, and one between ends that are not known well enough.

        Args:
            flows: A batch of stage ``IDENTITY``.
            known: What named it.
            labels: Tells label sets by number, as far as they are known.
            given: The policies.

        Raises:
            ManifestError: If a policy is not understood.
            StoreError: If label sets are in a ledger that does not answer.
        """
        if given.serial <= 0:
            return flows
        rows = np.flatnonzero(_unattributed(flows, given.changed + _SETTLED))
        codes = np.zeros(len(rows), np.int32)
        told: list[traces.Trace] = []
        for start in range(0, len(rows), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            some = flows.take(columns.array(rows[part], pa.int64()))
            found, new = self._judged(some, _met(some, known, labels), given)
            codes[part] = found + len(told)
            told += new
        return _filled(flows, rows, codes, told) if told else flows

    def _judged(self, flows: pa.RecordBatch, met: _Met, given: Given) -> tuple[Codes, list[traces.Trace]]:
        self._learn(given, met.on(columns.coded(flows, "node")[1]))
        found = dataclasses.replace(self._around, pods=tuple(met.pods.values()), nodes=met.nodes)
        return _judged(flows, evaluate.Engine(self._policies, found), met)

    def _learn(self, given: Given, subjects: Mapping[_Alike, cluster.Pod]) -> None:
        if given.serial == self._serial and subjects.keys() <= self._subjects.keys():
            return
        if given.serial != self._serial:
            self._around = cluster.read(given.around())
            self._subjects = {}
        self._subjects |= subjects
        here = dataclasses.replace(self._around, pods=tuple(self._subjects.values()), network_sets=())
        labels = [end.labels for end in endpoints.endpoints(here)]
        policies = given.policies({pod.namespace for pod in here.pods})
        self._policies = parse.parse(one for one in policies if _matters(one, labels))
        self._serial = given.serial


@dataclasses.dataclass(frozen=True, slots=True)
class _Met:
    """The ends of some flows: first all sources, then all destinations.

    Attributes:
        packed: Their addresses, shape (2n, 16).
        numbers: The number among ``pods`` of the one that each is like, or `world.NOBODY`.
        known: Whether all is known of each that policies are about.
        pods: One pod of all that are alike.
        nodes: The nodes.
    """

    packed: address.Packed
    numbers: Codes
    known: Mask
    pods: dict[_Alike, cluster.Pod]
    nodes: tuple[cluster.Node, ...]

    def on(self, nodes: Sequence[str]) -> dict[_Alike, cluster.Pod]:
        """The pods of some nodes."""
        return {alike: pod for alike, pod in self.pods.items() if pod.node in nodes}


def _met(flows: pa.RecordBatch, known: names.Names, labels: Labels) -> _Met:
    packed = np.concatenate([enricher.packed(flows, f"{side}_address") for side in ("src", "dst")])
    codes, at, places = np.unique(
        np.concatenate(known.enricher.ends(flows)), return_index=True, return_inverse=True
    )
    who = list(known.enricher.who.identities.some(codes.tolist()))
    sets = {0: {}, **labels({one.labels_id for one in who} - {0})}
    alike = [_alike(one) if _is_pod(one) and one.labels_id in sets else None for one in who]
    first = {one: i for i, one in reversed(list(enumerate(alike))) if one is not None}
    numbers = {one: number for number, one in enumerate(first)}
    private = np.array([one.kind is enums.EndpointKind.PRIVATE for one in who], bool)
    # such an address may be a pod's of which nobody has heard yet
    early = known.answers(packed, np.tile(columns.numbers(flows.column("started")), 2)) == names.DECLINED
    clear = [one.kind is not enums.EndpointKind.AMBIGUOUS and one.labels_id in sets for one in who]
    return _Met(
        packed=packed,
        numbers=np.array([world.NOBODY if one is None else numbers[one] for one in alike], np.int32)[places],
        known=np.array(clear, bool)[places] & ~(private[places] & early),
        pods={
            one: _pod(who[i], _text(packed, at[i]), sets[who[i].labels_id])
            for one, i in first.items()
        },
        nodes=tuple(
            cluster.Node(name=one.node, labels={}, addresses=(_text(packed, i),))
            for one, i in zip(who, at.tolist(), strict=True) if one.kind is enums.EndpointKind.NODE
        ),
    )  # fmt: skip


def _is_pod(who: identity.Identity) -> bool:
    return who.kind is enums.EndpointKind.POD


def _alike(who: identity.Identity) -> _Alike:
    return who.namespace, who.labels_id, who.service_account, who.node, who.ports


def _text(packed: address.Packed, row: int) -> str:
    return address.render(packed[row].tobytes())


def _pod(who: identity.Identity, text: str, labels: dict[str, str]) -> cluster.Pod:
    return cluster.Pod(
        namespace=who.namespace, name=who.pod, node=who.node, labels=labels, addresses=(text,),
        service_account=who.service_account, ports=cluster.declared(who.ports),
    )  # fmt: skip


def _matters(document: manifest.Document, labels: Sequence[Mapping[str, str]]) -> bool:
    """Whether it is a policy that selects one of these, or what policies are ordered by."""
    if document.kind in ("Tier", "Profile"):
        return True
    found = parse.parse([document]).policies
    return any(policy.subjects.matches(one) for policy in found for one in labels)


def _unattributed(flows: pa.RecordBatch, since: int) -> Mask:
    found = columns.equal(flows, "attribution", enums.Attribution.PROBE)
    found &= columns.equal(flows, "verdict", enums.Verdict.DENIED)
    found |= columns.equal(flows, "attribution", enums.Attribution.NONE)
    found &= ~columns.equal(flows, "reporter", enums.Reporter.NONE)
    recent: Mask = columns.numbers(flows.column("started")) >= since
    return found & recent


def _is_sure(engine: evaluate.Engine, direction: enums.Direction, pods: Codes, flows: pa.RecordBatch) -> Mask:
    """Whether all is known that the policies of each end speak of.

    What is behind services is not; and whoever was denied before there was a connection may have no port.
    """
    by_service, by_port = (
        np.zeros(len(engine.world.pods) + 1, bool) for _ in range(2)
    )  # nobody's is the last
    for i in range(len(engine.world.pods)):
        for rule in (one for policy in engine.selecting(i, direction) for one in policy.rules(direction)):
            by_service[i] |= bool(rule.source.service or rule.destination.service)
            peer = rule.source
            by_port[i] |= bool(peer.ports or peer.not_ports or peer.port_names or peer.not_port_names)
    sure: Mask = ~by_service[pods] & ~(by_port[pods] & (columns.numbers(flows.column("src_port")) == 0))
    return sure


def _judged(flows: pa.RecordBatch, engine: evaluate.Engine, met: _Met) -> tuple[Codes, list[traces.Trace]]:
    """The number of each flow's trace, and the traces; an empty one where nothing can be said."""
    count = len(flows)
    judged = engine.judge(evaluate.Edges(
        ends=world.Ends(met.numbers, met.packed), src=np.arange(count, dtype=np.int32),
        dst=np.arange(count, 2 * count, dtype=np.int32), **{
            name: columns.numbers(flows.column(name)).astype(np.int32)
            for name in ("protocol", "src_port", "dst_port", "icmp_type", "icmp_code")
        },
    ))  # fmt: skip
    known = met.known[:count] & met.known[count:]
    sides = []
    for direction, side, pods in (
        (enums.Direction.EGRESS, judged.egress, met.numbers[:count]),
        (enums.Direction.INGRESS, judged.ingress, met.numbers[count:]),
    ):
        here = np.logical_or.reduce([columns.equal(flows, "reporter", one) for one in _HERE[direction]])
        known &= _is_sure(engine, direction, pods, flows) | ~here
        sides.append((np.where(here, side.traces, 0), here & side.denied))
    (out, refused), (into, denied) = sides
    known &= (refused | denied) == columns.equal(flows, "verdict", enums.Verdict.DENIED)
    into = np.where(refused, 0, into)  # it got no further
    pairs, codes = np.unique(np.where(known, out.astype(np.int64) << 32 | into, 0), return_inverse=True)
    hits = engine.hits
    told = [
        traces.summarise([
            hits[number] for code in (pair >> 32, pair & 0xFFFFFFFF) for number in engine.traces[code]
        ])
        for pair in pairs.tolist()
    ]  # fmt: skip
    return codes.astype(np.int32), [_evaluated(one) for one in told]


def _evaluated(trace: traces.Trace) -> traces.Trace:
    return dataclasses.replace(trace, attribution=enums.Attribution.EVALUATED.value) if trace.text else trace


def _filled(
    flows: pa.RecordBatch, rows: npt.NDArray[np.int64], codes: Codes, told: Sequence[traces.Trace]
) -> pa.RecordBatch:
    known = np.array([bool(one.text) for one in told])[codes]
    rows, codes = rows[known], codes[known]
    for name in _FILLED:
        before, values = columns.coded(flows, name)
        after = before.copy()
        after[rows] = codes + len(values)
        fresh = [getattr(one, "text" if name == "policy_trace" else name) for one in told]
        place = flows.schema.get_field_index(name)
        flows = flows.set_column(place, flows.schema.field(name), columns.text([*values, *fresh], after))
    return flows
