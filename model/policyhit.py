"""Policy hits: which rule a packet met, in text and in NFLOG prefixes.

The prefix grammar is Calico's (felix/rules/nflogprefix.go, felix/types/policy_id.go), in the form of 3.32
and later: action, owner and direction letter, rule index, bar, policy identity.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib

from model import enums

PROFILE_TIER = "__PROFILE__"
"""Calico's name for the place after the last tier, where profiles decide."""

END_OF_TIER = "end-of-tier"
PROFILE = "pro"
NO_PROFILE = "no-profile"
UNRECOGNISED = "unrecognised"
NO_RULE = -1

_POLICY_KINDS = frozenset({"np", "gnp", "knp", "kcnp", "snp", "sgnp", "sknp"})
_KIND_WORDS = {
    "np": "NetworkPolicy", "gnp": "GlobalNetworkPolicy", "knp": "Kubernetes NetworkPolicy",
    "kcnp": "ClusterNetworkPolicy", PROFILE: "profile",
}  # fmt: skip
_ACTIONS = {"A": enums.Action.ALLOW, "D": enums.Action.DENY, "P": enums.Action.PASS}
_LETTERS = {action: letter for letter, action in _ACTIONS.items()}
_DIRECTIONS = {"I": enums.Direction.INGRESS, "E": enums.Direction.EGRESS}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PolicyHit:
    """One rule that a packet met.

    Attributes:
        direction: The side of the workload that was being judged.
        tier: Name of the tier; empty where only a prefix is known, which does not carry it.
        kind: ``np``, ``gnp``, ``knp``, ``kcnp`` for policies, ``pro`` for profiles, ``end-of-tier``,
            ``no-profile``, or ``unrecognised``.
        namespace: Namespace of the policy; empty for a cluster-wide one.
        name: Name of the policy or profile, or the text that could not be recognised.
        action: What the rule said.
        rule: Index of the rule in the list that Felix received; -1 where no rule matched.
    """

    direction: enums.Direction
    tier: str = ""
    kind: str
    namespace: str = ""
    name: str = ""
    action: enums.Action
    rule: int = NO_RULE

    def render(self) -> str:
        """The text form, without spaces: ``ingress|default|knp:shop/cart|allow|0``."""
        owner = f"{self.namespace}/{self.name}" if self.namespace else self.name
        subject = f"{self.kind}:{owner}" if owner else self.kind
        return f"{self.direction}|{self.tier}|{subject}|{self.action}|{self.rule}"

    def describe(self) -> str:
        """A sentence for a person."""
        if self.kind == END_OF_TIER:
            return f"{self.direction}: end of tier {self.tier}, no policy allowed it"
        if self.kind == NO_PROFILE:
            return f"{self.direction}: no profile allowed it"
        owner = f"{self.namespace}/{self.name}" if self.namespace else self.name
        place = f" of tier {self.tier}" if self.tier not in ("", PROFILE_TIER) else ""
        return f"{self.direction}: {_KIND_WORDS.get(self.kind, self.kind)} {owner}{place}, rule {self.rule}"

    def prefix(self) -> str:
        """The NFLOG prefix that Felix renders for this rule, hashed where it is too long."""
        side = self.direction[0].upper()
        letter = _LETTERS[self.action]
        if self.kind == NO_PROFILE:
            return f"DR{side}"
        if self.kind == END_OF_TIER:
            return limit_prefix(f"{letter}P{side}|{self.tier}")
        if self.kind == PROFILE:
            return limit_prefix(f"{letter}R{side}{self.rule}|{self.name}")
        owner = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return limit_prefix(f"{letter}P{side}{self.rule}|{self.kind}/{owner}")


def parse(text: str) -> PolicyHit:
    """The hit that ``PolicyHit.render`` wrote.

    Raises:
        ValueError: If it is not such a text.
    """
    direction, tier, subject, action, rule = text.split("|")
    kind, _, owner = subject.partition(":")
    namespace, slash, name = owner.partition("/")
    if not slash or kind == UNRECOGNISED:
        namespace, name = "", owner
    return PolicyHit(
        direction=enums.Direction(direction), tier=tier, kind=kind, namespace=namespace, name=name,
        action=enums.Action(action), rule=int(rule),
    )  # fmt: skip


def limit_prefix(text: str) -> str:
    """A prefix as it goes to the kernel: 63 characters or more are hashed in the middle."""
    if len(text) < 63:
        return text
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
    return f"{text[:10]}_{digest[:41]}_{text[-10:]}"


def parse_prefix(prefix: str) -> PolicyHit | None:
    """What an NFLOG prefix says by itself; None if it is not in Calico's grammar.

    A hashed prefix gives action, direction and rule index, kind ``unrecognised`` and its own text as name.
    """
    head, bar, identity = prefix.partition("|")
    action, direction = _ACTIONS.get(prefix[:1]), _DIRECTIONS.get(prefix[2:3])
    if action is None or direction is None or prefix[1:2] not in ("P", "R"):
        return None
    if not bar:
        return PolicyHit(direction=direction, tier=PROFILE_TIER, kind=NO_PROFILE, action=action) if (
            prefix[:2] == "DR" and len(head) == 3
        ) else None  # fmt: skip
    index = head[3:]
    if index and not index.isdecimal():
        return None
    hit = PolicyHit(
        direction=direction, kind=UNRECOGNISED, name=prefix.replace("|", "/"), action=action,
        rule=int(index) if index else NO_RULE,
    )  # fmt: skip
    if len(prefix) == 63:
        return hit
    if not index:
        return dataclasses.replace(hit, tier=identity, kind=END_OF_TIER, name="")
    if prefix[1] == "R":
        return dataclasses.replace(hit, tier=PROFILE_TIER, kind=PROFILE, name=identity)
    kind, _, owner = identity.partition("/")
    if kind not in _POLICY_KINDS:
        return hit
    namespace, slash, name = owner.partition("/")
    return dataclasses.replace(
        hit, kind=kind, namespace=namespace if slash else "", name=name if slash else owner
    )
