"""What flows are told apart by: a number for each distinct key, which is parsed once.

A flow's key is far longer than its numbers and is the same in each window, so it is known by its bytes: to
parse one takes 45 µs, to look it up 0.1. Needs the extra ``goldmane``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from google.protobuf import message as protobuf

from collector.goldmane import flows, goldmane_pb2
from model import enums, policyhit

LIMIT = 100_000
"""Distinct keys, some 100 MB, beyond which numbers begin anew. A node has as many as there are ends, ports
and traces that meet on it: hundreds to thousands."""
UNREADABLE = -1
"""The number of bytes that are no key, or one that does not say who reports or what came of it."""

_PROTOCOLS = {"icmp": 1, "ipip": 4, "tcp": 6, "udp": 17, "esp": 50, "icmp6": 58, "sctp": 132}
"""Felix's names (felix/collector/utils/utils.go); it writes all other protocols as a number."""
_REPORTERS = {goldmane_pb2.Src: enums.Reporter.SRC, goldmane_pb2.Dst: enums.Reporter.DST}
_DIRECTIONS = {enums.Reporter.SRC: enums.Direction.EGRESS, enums.Reporter.DST: enums.Direction.INGRESS}
"""Felix calls the end ``Src`` whose egress policies decided (felix/collector/flowlog/utils.go)."""
_ACTIONS = {
    goldmane_pb2.Allow: enums.Action.ALLOW, goldmane_pb2.Deny: enums.Action.DENY,
    goldmane_pb2.Pass: enums.Action.PASS,
}  # fmt: skip
_KINDS = {
    goldmane_pb2.CalicoNetworkPolicy: "np", goldmane_pb2.GlobalNetworkPolicy: "gnp",
    goldmane_pb2.StagedNetworkPolicy: "snp", goldmane_pb2.StagedGlobalNetworkPolicy: "sgnp",
    goldmane_pb2.StagedKubernetesNetworkPolicy: "sknp", goldmane_pb2.NetworkPolicy: "knp",
    goldmane_pb2.AdminNetworkPolicy: "kanp", goldmane_pb2.BaselineAdminNetworkPolicy: "kbanp",
    goldmane_pb2.Profile: policyhit.PROFILE, goldmane_pb2.EndOfTier: policyhit.END_OF_TIER,
    goldmane_pb2.ClusterNetworkPolicy: "kcnp",
}  # fmt: skip
_LAST_PORT = 65535
_LAST_PROTOCOL = 255

Numbers = npt.NDArray[np.int32]


class Keys:
    """Numbers for keys, from 0 on; for one thread.

    Keys that say the same have the same number, though their bytes differ: Felix has the hits of a trace in
    random order, each with its place, and only later versions sort them before they send them
    (goldmane/pkg/types/flow.go).

    Args:
        limit: Distinct keys, or distinct bytes, beyond which numbers begin anew.

    Attributes:
        generation: How often they have begun anew. What was worked out for a number holds for one generation.
        unknown: Values that were met in new keys and have no name or no place here: a newer Calico's. A kind
            keeps its number as its text, a port or protocol is 0, a hit whose action is unknown is left out.
        error: What was wrong with the last bytes that were unreadable; empty if none were.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._numbers: dict[bytes, int] = {}
        self._places: dict[flows.Key, int] = {}
        self._keys: list[flows.Key] = []
        self.generation = 0
        self.unknown = 0
        self.error = ""

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, number: int) -> flows.Key:
        return self._keys[number]

    def number(self, serialized: Sequence[bytes]) -> Numbers:
        """The number of each serialized FlowKey, shape (n,); ``UNREADABLE`` for what is none.

        Numbers stay what they are until the next call, which may begin anew: never in between, so one call's
        numbers agree with each other, and one call may take us over the limit by what it brings.
        """
        if len(self._numbers) > self._limit:
            self._begin_anew()
        known = self._numbers
        for one in set(serialized).difference(known):
            known[one] = self._learn(one)
        return np.fromiter(map(known.__getitem__, serialized), np.int32, len(serialized))

    def _begin_anew(self) -> None:
        self._numbers, self._places, self._keys = {}, {}, []
        self.generation += 1

    def _learn(self, serialized: bytes) -> int:
        try:
            key = self._read(goldmane_pb2.FlowKey.FromString(serialized))
        except (protobuf.DecodeError, ValueError) as error:
            self.error = f"FlowKey: {error}"
            return UNREADABLE
        number = self._places.setdefault(key, len(self._keys))
        if number == len(self._keys):
            self._keys.append(key)
        return number

    def _read(self, key: goldmane_pb2.FlowKey) -> flows.Key:
        if key.reporter not in _REPORTERS:
            raise ValueError(f"reporter {key.reporter} is neither Src nor Dst")
        action = _ACTIONS.get(key.action)
        if action not in (enums.Action.ALLOW, enums.Action.DENY):
            raise ValueError(f"action {key.action} is neither Allow nor Deny")
        reporter = _REPORTERS[key.reporter]
        return flows.Key(
            src=self._end(key.source_type, key.source_namespace, key.source_name),
            dst=self._end(key.dest_type, key.dest_namespace, key.dest_name),
            dst_port=self._port(key.dest_port), protocol=self._protocol(key.proto),
            service_namespace=_told(key.dest_service_namespace), service=_told(key.dest_service_name),
            service_port_name=_told(key.dest_service_port_name),
            service_port=self._port(key.dest_service_port), reporter=reporter, action=action,
            enforced=self._trace(key.policies.enforced_policies, _DIRECTIONS[reporter]),
            pending=self._trace(key.policies.pending_policies, _DIRECTIONS[reporter]),
        )  # fmt: skip

    def _end(self, kind: int, namespace: str, name: str) -> flows.End:
        names = goldmane_pb2.EndpointType.values()
        self.unknown += kind not in names
        word = goldmane_pb2.EndpointType.Name(kind) if kind in names else str(kind)
        return flows.End(kind=word, namespace=_told(namespace), name=_told(name))

    def _port(self, port: int) -> int:
        self.unknown += port > _LAST_PORT
        return port if 0 <= port <= _LAST_PORT else 0  # Felix has -1 for one that it leaves out

    def _protocol(self, name: str) -> int:
        number = _PROTOCOLS.get(name)
        if number is None:
            number = int(name) if name.isascii() and name.isdigit() and len(name) <= 3 else _LAST_PROTOCOL + 1
        self.unknown += number > _LAST_PROTOCOL
        return number if number <= _LAST_PROTOCOL else 0

    def _trace(
        self, hits: Iterable[goldmane_pb2.PolicyHit], direction: enums.Direction
    ) -> tuple[policyhit.PolicyHit, ...]:
        in_order = sorted(hits, key=lambda hit: hit.policy_index)
        read = [self._hit(hit, direction) for hit in in_order]
        return tuple(hit for hit in read if hit is not None)

    def _hit(self, hit: goldmane_pb2.PolicyHit, direction: enums.Direction) -> policyhit.PolicyHit | None:
        kind, action = _KINDS.get(hit.kind, str(hit.kind)), _ACTIONS.get(hit.action)
        self.unknown += hit.kind not in _KINDS or action is None
        return None if action is None else read_hit(hit, kind, action, direction)


def read_hit(
    hit: goldmane_pb2.PolicyHit, kind: str, action: enums.Action, direction: enums.Direction
) -> policyhit.PolicyHit:
    """A hit in the words that NFLOG's prefixes have for the same rule, where these say it.

    The names need no change: Felix 3.30 and 3.31 take tier, ``knp.`` and ``staged:`` off before they send
    them, and since 3.32 none of these is in them (goldmane/proto/methods.go). What is called
    ``default.web`` then is a custom resource of that name, and so it is in the prefix.
    """
    if kind == policyhit.END_OF_TIER:
        return _end_of_tier(hit, action, direction)
    return policyhit.PolicyHit(
        direction=direction, tier=policyhit.PROFILE_TIER if kind == policyhit.PROFILE else _told(hit.tier),
        kind=kind, namespace=_told(hit.namespace), name=hit.name, action=action,
        rule=max(hit.rule_index, policyhit.NO_RULE),
    )  # fmt: skip


def _end_of_tier(
    hit: goldmane_pb2.PolicyHit, action: enums.Action, direction: enums.Direction
) -> policyhit.PolicyHit:
    """Without the policy that set it off: one of several that select the workload, and not in the prefix.

    Profiles are in no tier, and the end of theirs is where none allowed it.
    """
    if hit.tier and hit.tier != policyhit.PROFILE_TIER:
        return policyhit.PolicyHit(
            direction=direction, tier=hit.tier, kind=policyhit.END_OF_TIER, action=action
        )
    return policyhit.PolicyHit(
        direction=direction, tier=policyhit.PROFILE_TIER, kind=policyhit.NO_PROFILE, action=action
    )


def _told(text: str) -> str:
    """A text that may be ``-``, which is how Felix writes none (felix/collector/flowlog/types.go)."""
    return "" if text == "-" else text
