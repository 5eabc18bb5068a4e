"""Which observations a suggestion may learn from, and why not from the others."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Collection

import numpy as np
import numpy.typing as npt

from model import enums
from policy import record
from policy.record import Codes, Mask, Rows


class Reason(enum.StrEnum):
    """Why an observation is left out."""

    AMBIGUOUS = "ambiguous"
    """Nobody knows for certain who one end was."""
    DENIED = "denied"
    """Policies denied it."""
    ONE_OFF = "one-off"
    """One end was a pod of nobody's that lived for less than a day."""
    GONE = "gone"
    """One end is a workload that has had no pod for a day, nor has another that the same labels find."""
    SCAN = "scan"
    """The source tried many ports or many destinations, most of them in vain."""
    CLOSED = "closed"
    """Nobody listened: each attempt was refused at once."""
    UNANSWERED = "unanswered"
    """Nobody answered."""
    REPLY = "reply"
    """Answers of a connection that began before anybody looked: the request goes the other way."""
    INEXPRESSIBLE = "inexpressible"
    """The kind of policy cannot allow this protocol alone."""
    CROWD = "crowd"
    """Too many addresses without a name to list: all of the internet would have to be let in, or reached."""


ABOUT = {
    Reason.AMBIGUOUS: "nobody knows for certain who one end was",
    Reason.DENIED: "policies denied it",
    Reason.ONE_OFF: "one end was a pod of nobody's that lived for less than a day",
    Reason.GONE: "one end is a workload that has had no pod for a day",
    Reason.SCAN: "the source tried many ports or destinations, most of them in vain",
    Reason.CLOSED: "nobody listened there",
    Reason.UNANSWERED: "nobody answered",
    Reason.REPLY: "answers of connections that had begun before; the request goes the other way",
    Reason.INEXPRESSIBLE: "this kind of policy cannot allow the protocol by itself",
    Reason.CROWD: "too many addresses without a name to list",
}
"""Each reason in words."""

DAY = 86_400 * 1_000_000_000
"""In nanoseconds."""

_PORTS_OF_A_SCAN = 5
"""So many ports of one destination that were tried in vain, and more than those that were not, are a scan."""
_ENDS_OF_A_SCAN = 10
"""The same of destinations at one port."""
_EPHEMERAL = 32_768
"""From here on Linux takes ports for clients (net.ipv4.ip_local_port_range)."""
_ONCE = 2
"""So many connections at a port of a client: it may be given it again."""
_WITH_HANDSHAKE = (enums.Protocol.TCP, enums.Protocol.SCTP)
_ALONE = "Pod"


@dataclasses.dataclass(frozen=True, slots=True)
class Accepted:
    """Which edges of a record are accepted, and why not the others.

    Attributes:
        reasons: For each edge the reason, or None.
        relevant: Whether a pod is at one end, so that policies for pods have a say at all.
    """

    reasons: npt.NDArray[np.object_]
    relevant: Mask

    @property
    def mask(self) -> Mask:
        """The accepted edges."""
        found: Mask = self.relevant & (self.reasons == np.array(None))
        return found

    def without(self, which: Mask, reason: Reason) -> Accepted:
        """Some accepted edges less."""
        reasons = self.reasons.copy()
        reasons[which & self.mask] = reason
        return Accepted(reasons, self.relevant)


def accepted(
    seen: record.Record, until: int, admitted: Collection[Reason] = (),
    expressible: Collection[int] = (), groups: Codes | None = None,
) -> Accepted:  # fmt: skip
    """Which edges a suggestion may learn from.

    Args:
        seen: The record.
        until: When it ends, in ns since 1970.
        admitted: Reasons that do not count, since somebody has looked.
        expressible: The protocols that the policies can allow by themselves; empty for all.
        groups: The number of each variant's group, where one selector finds several workloads.
    """
    alike = seen.workload_of if groups is None else groups
    reasons = np.full(len(seen), None, object)
    open_ = np.ones(len(seen), bool)
    relevant = (seen.src >= 0) | (seen.dst >= 0)
    failed = _failed(seen)
    tests: dict[Reason, Callable[[], Mask]] = {
        Reason.AMBIGUOUS: lambda: _either(
            seen, of_addresses=[one == enums.EndpointKind.AMBIGUOUS for one in seen.kinds]
        ),
        Reason.DENIED: lambda: seen.verdict == enums.Verdict.DENIED,
        Reason.ONE_OFF: lambda: _either(seen, [is_one_off(one) for one in seen.variants]),
        Reason.GONE: lambda: _either(seen, _gone(seen, until, alike)),
        Reason.SCAN: lambda: _scans(seen, failed | (seen.verdict == enums.Verdict.DENIED)),
        Reason.CLOSED: lambda: _closed(seen),
        Reason.UNANSWERED: lambda: _unanswered(seen),
        Reason.REPLY: lambda: _replies(seen, open_),
        Reason.INEXPRESSIBLE: lambda: ~np.isin(seen.protocol, list(expressible)) & bool(expressible),
    }
    for reason, test in tests.items():
        if reason not in admitted:
            which = test() & open_
            reasons[which] = reason
            open_ &= ~which
    # no policy has a port 0: what is admitted in its stead would be all ports
    reasons[open_ & np.isin(seen.protocol, enums.WITH_PORTS) & (seen.port == 0)] = Reason.INEXPRESSIBLE
    return Accepted(reasons, relevant)


def _either(
    seen: record.Record, of_variants: Collection[bool] = (), of_addresses: Collection[bool] = ()
) -> Mask:
    """Edges one end of which is among some variants, or some addresses."""
    variants = np.array(of_variants or [False] * len(seen.variants), bool)
    addresses = np.array(of_addresses or [False] * len(seen.kinds), bool)
    which = np.concatenate([variants, addresses[::-1]])  # address a has number -1 - a
    found: Mask = which[seen.src] | which[seen.dst]
    return found


def is_one_off(one: record.Variant) -> bool:
    """Whether these are pods of nobody's that lived for less than a day: somebody had a look around."""
    return one.workload.kind == _ALONE and 0 < one.longest < DAY


def _gone(seen: record.Record, until: int, groups: Codes) -> list[bool]:
    """Whose group has had no pod for a day; of Jobs of a CronJob the next may come at any time."""
    last: dict[int, int] = {}
    for group, one in zip(groups.tolist(), seen.variants, strict=True):
        last[group] = max(last.get(group, 0), one.last or until)
    return [
        one.workload.kind != "CronJob" and last[group] < until - DAY
        for group, one in zip(groups.tolist(), seen.variants, strict=True)
    ]


def _closed(seen: record.Record) -> Mask:
    """Each packet that came back was a refusal: one for each attempt, and a connection has two at least."""
    counted = seen.forward_packets > 0
    refused = (seen.reverse_packets > 0) & (seen.reverse_packets <= seen.connections)
    found: Mask = np.isin(seen.protocol, _WITH_HANDSHAKE) & counted & refused
    return found


def _unanswered(seen: record.Record) -> Mask:
    """Nobody answered, and it is nothing that goes one way to somebody who has said that he listens."""
    silent = (seen.reverse_packets == 0) & (
        (seen.forward_packets > 0) | (seen.verdict == enums.Verdict.UNKNOWN)
    )
    one_way = (seen.protocol == enums.Protocol.UDP) & (
        _declared(seen) | (seen.verdict == enums.Verdict.ALLOWED)
    )
    found: Mask = silent & ~one_way
    return found


def _declared(seen: record.Record) -> Mask:
    """Whether the destination is a pod that declares the port."""
    known = [
        variant << 24 | int(port.protocol) << 16 | port.number
        for variant, one in enumerate(seen.variants) for port in one.ports
    ]  # fmt: skip
    asked = seen.dst.astype(np.int64) << 24 | seen.protocol.astype(np.int64) << 16 | seen.port
    return (seen.dst >= 0) & np.isin(asked, np.array(known, np.int64))


def _failed(seen: record.Record) -> Mask:
    return _closed(seen) | _unanswered(seen)


def _scans(seen: record.Record, failed: Mask) -> Mask:
    """All that a scan has tried, also what it has found."""
    src, dst = (_owner_keys(seen, ends) for ends in (seen.src, seen.dst))
    port = record.distinct(seen.protocol, seen.port)[1]
    ports = _tried(record.distinct(src, dst)[1], port, failed, _PORTS_OF_A_SCAN)
    return ports | _tried(record.distinct(src, port)[1], dst, failed, _ENDS_OF_A_SCAN)


def _tried(of: Rows, what: Rows, failed: Mask, least: int) -> Mask:
    """Edges of those that have tried so many different things in vain, and more than not in vain."""
    first = record.distinct(of, what, failed)[0]
    count = int(of.max(initial=-1)) + 1
    vain, well = (np.bincount(of[first[failed[first] == one]], minlength=count) for one in (True, False))
    found: Mask = ((vain >= least) & (vain > well))[of]
    return found


def _owner_keys(seen: record.Record, ends: record.Codes) -> npt.NDArray[np.int64]:
    """Ends by their workload, or their address."""
    return np.where(ends >= 0, seen.owners(ends), ends).astype(np.int64)


def _replies(seen: record.Record, open_: Mask) -> Mask:
    """High ports of clients, of a pair of which the request the other way is known.

    A client has a port for one connection: one that came again is somebody's who listens.
    """
    high = (seen.port >= _EPHEMERAL) & np.isin(seen.protocol, enums.WITH_PORTS) & ~_declared(seen)
    if not high.any():
        return high
    src, dst = (_owner_keys(seen, ends) for ends in (seen.src, seen.dst))
    listening = record.distinct(dst, seen.protocol, seen.port)[1]
    once = np.bincount(listening, weights=seen.connections)[listening] <= _ONCE
    pairs = np.concatenate([src, dst]), np.concatenate([dst, src]), np.tile(seen.protocol, 2)
    there, back = np.split(record.distinct(*pairs)[1], 2)
    found: Mask = high & once & np.isin(back, there[open_ & ~high])
    return found
