"""Flows that no source has told a rule of, and what the policies say of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cli import connections, nodepolicies
from collector import traces
from enrich import identity, names
from model import address, cluster, columns, enums, errors, policyhit
from policy import evaluate, program, world
from runtime import logs

_limited = logs.Limited(__name__)

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]

Labels = Callable[[Collection[int]], Mapping[int, dict[str, str]]]

_AT_ONCE = 1_000
"""So many flows are judged together: what is held for each is given back before the next."""
_SETTLED = 30 * 1_000_000_000
"""So long after a change of policies a dataplane does what they say."""
_BEHIND = 120 * 1_000_000_000
"""So far behind may be what is known; who writes it says at least every half minute that it knows all."""
_FILLED = ("egress_action", "ingress_action", "policy_trace", "deciding_rule", "attribution")
_HERE = {
    enums.Direction.EGRESS: (enums.Reporter.SRC, enums.Reporter.BOTH),
    enums.Direction.INGRESS: (enums.Reporter.DST, enums.Reporter.BOTH),
}


class Evaluator:
    """Judges flows of this node's pods. It keeps the policies that select these, as Felix does.

    A connection keeps what was said of it when it began, as it keeps what was done to it then.
    """

    def __init__(self) -> None:
        self._policies = nodepolicies.NodePolicies()
        self._connections = connections.Connections()

    def attribute(
        self, flows: pa.RecordBatch, known: names.Names, labels: Labels, given: nodepolicies.Given
    ) -> pa.RecordBatch:
        """The same flows; with the trace that the policies give those of which no rule is known.

        A flow of which they say something else than was done to it stays without. So does one that began
        before the last change of them, or later than anything is known of, and one between ends that are not
        known well enough.

        Args:
            flows: A batch of stage ``IDENTITY``.
            known: What named it.
            labels: Tells label sets by number, as far as they are known.
            given: The policies.
        """
        rows = np.flatnonzero(_unattributed(flows))
        if not len(rows):
            return flows
        keys = connections.keys(flows)[rows]
        told = self._connections.find(keys)
        began = columns.numbers(flows.column("started"))[rows]
        since = max(given.changed + _SETTLED, known.horizon)
        fresh = (told < 0) & (began >= since) & (began <= known.as_of + _BEHIND) & (given.serial > 0)
        try:
            for places in _parts(np.flatnonzero(fresh)):
                some = flows.take(columns.array(rows[places], pa.int64()))
                found, new = self._judged(some, _met(some, known, labels), given)
                told[places] = self._connections.add(keys[places], found, new)
        except errors.FlowledgerError as error:  # a policy is not understood, or a ledger does not answer
            _limited.warning("flows are recorded without what policies say of them", error=str(error))
        self._connections.seen(keys[told >= 0])
        return _filled(flows, rows, told, self._connections.traces)

    def _judged(
        self, flows: pa.RecordBatch, met: _Met, given: nodepolicies.Given
    ) -> tuple[Codes, list[traces.Trace]]:
        nodes = frozenset(columns.coded(flows, "node")[1])
        self._policies.learn(given, met.on(nodes))
        around = self._policies.seen_from(nodes)
        found = dataclasses.replace(around, pods=tuple(met.pods.values()), nodes=met.nodes)
        engine = evaluate.Engine(self._policies.policies, found)
        return _judged(flows, engine, met, self._policies)


def _parts(places: Rows) -> Iterator[Rows]:
    return (places[start : start + _AT_ONCE] for start in range(0, len(places), _AT_ONCE))


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
    pods: dict[nodepolicies.Alike, cluster.Pod]
    nodes: tuple[cluster.Node, ...]

    def on(self, nodes: Collection[str]) -> dict[nodepolicies.Alike, cluster.Pod]:
        """The pods of some nodes."""
        return {alike: pod for alike, pod in self.pods.items() if pod.node in nodes}


def _met(flows: pa.RecordBatch, known: names.Names, labels: Labels) -> _Met:
    packed = np.concatenate([columns.packed(flows, f"{side}_address") for side in ("src", "dst")])
    ends = np.concatenate(known.enricher.ends(flows))
    codes, at, places = np.unique(ends, return_index=True, return_inverse=True)
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
        known=np.array(clear, bool)[places] & ~(private[places] & early) & _lasted(flows, ends, known),
        pods={
            one: _pod(who[i], _text(packed, at[i]), sets[who[i].labels_id])
            for one, i in first.items()
        },
        nodes=tuple(
            cluster.Node(name=one.node, labels={}, addresses=(_text(packed, i),))
            for one, i in zip(who, at.tolist(), strict=True) if one.kind is enums.EndpointKind.NODE
        ),
    )  # fmt: skip


def _lasted(flows: pa.RecordBatch, ends: Codes, known: names.Names) -> Mask:
    """Whether each end is the same all the time in which its flow may have begun.

    What a probe has found began somewhere in the interval that ends with the row, and an address may have
    passed from one to another in it.
    """
    place = flows.schema.get_field_index("started")
    later = flows.set_column(place, flows.schema.field("started"), flows.column("time"))
    probed = np.tile(columns.equal(flows, "attribution", enums.Attribution.PROBE), 2)
    same: Mask = ends == np.concatenate(known.enricher.ends(later))
    return same | ~probed


def _is_pod(who: identity.Identity) -> bool:
    return who.kind is enums.EndpointKind.POD


def _alike(who: identity.Identity) -> nodepolicies.Alike:
    return who.namespace, who.labels_id, who.service_account, who.node, who.ports


def _text(packed: address.Packed, row: int) -> str:
    return address.render(packed[row].tobytes())


def _pod(who: identity.Identity, text: str, labels: dict[str, str]) -> cluster.Pod:
    return cluster.Pod(
        namespace=who.namespace, name=who.pod, node=who.node, labels=labels, addresses=(text,),
        service_account=who.service_account, ports=cluster.declared(who.ports),
    )  # fmt: skip


def _unattributed(flows: pa.RecordBatch) -> Mask:
    found = columns.equal(flows, "attribution", enums.Attribution.PROBE)
    found &= columns.equal(flows, "verdict", enums.Verdict.DENIED)
    found |= columns.equal(flows, "attribution", enums.Attribution.NONE)
    found &= ~columns.equal(flows, "reporter", enums.Reporter.NONE)
    return found


def _is_sure(
    engine: evaluate.Engine, side: evaluate.Side, flows: pa.RecordBatch, node: nodepolicies.NodePolicies
) -> Mask:
    """Whether all is known that the policies speak of which have a say.

    What is behind services is not; whoever was denied before there was a connection may have no port; and
    what is judged before service translation is not what is seen after it.
    """
    sure, unseen = np.ones(len(flows), bool), columns.numbers(flows.column("src_port")) == 0
    translated = columns.numbers(flows.column("service_port")) > 0
    for part in side.parts:
        asking = np.where(part.judged, part.subjects, np.int32(world.NOBODY))
        for subject in np.unique(asking[asking != world.NOBODY]).tolist():
            asked = [node.asks(one, part.direction) for one in engine.selecting_at(part, subject)]
            if asked and part.chain in (program.Chain.PRE_DNAT, program.Chain.UNTRACKED):
                sure &= (asking != subject) | ~translated
            if any(by_service for by_service, _ in asked):
                sure &= asking != subject
            elif any(by_port for _, by_port in asked):
                sure &= (asking != subject) | ~unseen
    return sure


def _judged(
    flows: pa.RecordBatch, engine: evaluate.Engine, met: _Met, node: nodepolicies.NodePolicies
) -> tuple[Codes, list[traces.Trace]]:
    """The number of each flow's trace, and the traces; an empty one where nothing can be said."""
    count = len(flows)
    judged = engine.judge(evaluate.Edges(
        ends=world.Ends(met.numbers, met.packed), src=np.arange(count, dtype=np.int32),
        dst=np.arange(count, 2 * count, dtype=np.int32), **{
            name: columns.numbers(flows.column(name)).astype(np.int32)
            for name in ("protocol", "src_port", "dst_port", "icmp_type", "icmp_code")
        },
    ))  # fmt: skip
    sure = met.known[:count] & met.known[count:]
    sides = []
    for direction, side in (
        (enums.Direction.EGRESS, judged.egress), (enums.Direction.INGRESS, judged.ingress)
    ):  # fmt: skip
        here = np.logical_or.reduce([columns.equal(flows, "reporter", one) for one in _HERE[direction]])
        sure &= _is_sure(engine, side, flows, node) | ~here
        sides.append((np.where(here, side.traces, 0), here & side.denied))
    (out, refused), (into, denied) = sides
    sure &= (refused | denied) == columns.equal(flows, "verdict", enums.Verdict.DENIED)
    into = np.where(refused, 0, into)  # it got no further
    pairs, codes = np.unique(np.where(sure, out.astype(np.int64) << 32 | into, 0), return_inverse=True)
    both = [engine.trace(np.array([pair >> 32, pair & 0xFFFFFFFF], np.int32)) for pair in pairs.tolist()]
    return codes.astype(np.int32), [_evaluated(*each) for each in both]


def _evaluated(out: Sequence[policyhit.PolicyHit], into: Sequence[policyhit.PolicyHit]) -> traces.Trace:
    """A trace whose actions are those of each end: a host endpoint's rules may be of the other direction."""
    whole, (egress, ingress) = traces.summarise([*out, *into]), (traces.summarise(one) for one in (out, into))
    return dataclasses.replace(
        whole, egress_action=_decision(egress), ingress_action=_decision(ingress),
        attribution=enums.Attribution.EVALUATED.value if whole.text else whole.attribution,
    )  # fmt: skip


def _decision(trace: traces.Trace) -> str:
    return policyhit.parse(trace.deciding_rule).action.value if trace.deciding_rule else ""


def _filled(flows: pa.RecordBatch, rows: Rows, told: Codes, every: Sequence[traces.Trace]) -> pa.RecordBatch:
    """Flows with what was told of some of their rows.

    Args:
        flows: The flows.
        rows: Of which of them.
        told: For each of these the number of its trace; negative where nothing was told.
        every: The traces.
    """
    denies = np.array([enums.Action.DENY in (one.egress_action, one.ingress_action) for one in every], bool)
    has_text = np.array([bool(one.text) for one in every], bool)
    rows, told = rows[told >= 0], told[told >= 0]
    # what was said when it began holds as long as nothing else is done to it
    done = columns.equal(flows, "verdict", enums.Verdict.DENIED)[rows]
    holds = has_text[told] & (denies[told] == done)
    rows, told = rows[holds], told[holds]
    if not len(rows):
        return flows
    there, codes = np.unique(told, return_inverse=True)
    for name in _FILLED:
        fresh = [getattr(every[i], "text" if name == "policy_trace" else name) for i in there.tolist()]
        flows = columns.filled(flows, name, rows, fresh, codes)
    return flows


def without(flows: pa.RecordBatch, rows: Mask) -> pa.RecordBatch:
    """Flows of which some are again as if policies had said nothing of them."""
    rows = rows & columns.equal(flows, "attribution", enums.Attribution.EVALUATED)
    if not rows.any():
        return flows
    denied = columns.equal(flows, "verdict", enums.Verdict.DENIED)
    for name in _FILLED:
        before, values = columns.coded(flows, name)
        blank = [enums.Attribution.NONE, enums.Attribution.PROBE] if name == "attribution" else ["", ""]
        after = np.where(rows, len(values) + denied.astype(np.int32), before)
        place = flows.schema.get_field_index(name)
        flows = flows.set_column(place, flows.schema.field(name), columns.text([*values, *blank], after))
    return flows
