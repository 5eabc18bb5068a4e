"""Policy hits: which rule a packet met, in text and in Calico's NFLOG prefixes.

A prefix is action, owner and direction letter, rule index, bar, and the identity of the policy
(felix/rules/nflogprefix.go). The identity has two forms: ``kind/namespace/name`` since Calico 3.32
(felix/types/policy_id.go), ``namespace/tier.name`` in 3.30 and 3.31 (libcalico-go/lib/names/policy.go). Other
dataplanes' prefixes are in ``model.prefixgrammar``.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import string
import urllib.parse

from model import enums

PROFILE_TIER = "__PROFILE__"
"""Calico's name for the place after the last tier, where profiles decide."""
DEFAULT_TIER = "default"

END_OF_TIER = "end-of-tier"
PROFILE = "pro"
NO_PROFILE = "no-profile"
DEFAULT_DENY = "default-deny"
CUSTOM = "custom"
UNRECOGNISED = "unrecognised"
NO_RULE = -1
UNTOLD_DIRECTION = enums.Direction.INGRESS
"""What a hit gets where nothing tells ingress from egress: most policies limit ingress alone."""

_KIND_WORDS = {
    "np": "Calico NetworkPolicy", "gnp": "GlobalNetworkPolicy", "knp": "NetworkPolicy",
    "kcnp": "ClusterNetworkPolicy", "kanp": "AdminNetworkPolicy", "kbanp": "BaselineAdminNetworkPolicy",
    "ossg": "OpenStack security group", "snp": "StagedNetworkPolicy", "sgnp": "StagedGlobalNetworkPolicy",
    "sknp": "StagedKubernetesNetworkPolicy", PROFILE: "profile", CUSTOM: "custom policy",
}  # fmt: skip
_CLUSTER_WIDE = frozenset({"gnp", "kcnp", "sgnp"})
_OWN_WORDS = frozenset({END_OF_TIER, PROFILE, NO_PROFILE, DEFAULT_DENY, CUSTOM, UNRECOGNISED})
"""Kinds that no policy has, so a prefix that says so is not believed."""
_LEGACY_TIERS = {"kanp": "adminnetworkpolicy", "kbanp": "baselineadminnetworkpolicy", "ossg": DEFAULT_TIER}
"""Kinds that there were in 3.30 and 3.31 alone, each with its one tier."""
_LEGACY_STARTS = {f"{kind}.{tier}.": (kind, tier) for kind, tier in _LEGACY_TIERS.items()}
_LEGACY_STARTS |= {f"knp.{DEFAULT_TIER}.": ("knp", DEFAULT_TIER)}

_ACTIONS = {"A": enums.Action.ALLOW, "D": enums.Action.DENY, "P": enums.Action.PASS}
_LETTERS = {action: letter for letter, action in _ACTIONS.items()}
_DIRECTIONS = {"I": enums.Direction.INGRESS, "E": enums.Direction.EGRESS}

_TOO_LONG = 63
"""Characters from which on Felix hashes; what it sends then has exactly as many."""
_HEAD = re.compile(r"([ADP])([PR])([IE])(0|[1-9][0-9]{0,5})?\|")  # longer indexes do not survive the hash
_TIER = re.compile(r"[A-Za-z0-9-]+")  # a tier's name has no dot
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]*")

_PLAIN = "".join(set(string.punctuation) - set("%|:/"))
"""What stands for itself in every part of the text form, besides letters and digits."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PolicyHit:
    """One rule that a packet met.

    Attributes:
        direction: The side of the workload that was being judged.
        tier: Name of the tier; empty where only a prefix is known, which does not carry it.
        kind: ``np``, ``gnp``, ``knp``, ``kcnp``, ``kanp``, ``kbanp``, ``ossg`` for policies, ``pro`` for
            profiles, ``end-of-tier``, ``no-profile``, ``default-deny`` where policies apply and none allowed
            it, ``custom`` for a rule of somebody's own, ``unrecognised``; a kind that we do not know keeps
            the word that the prefix has for it.
        namespace: Namespace of the policy; empty for a cluster-wide one.
        name: Name of the policy or profile, or the prefix that could not be recognised.
        action: What the rule said.
        rule: Index of the rule in the list that Felix received; -1 where no rule matched or none is known.
    """

    direction: enums.Direction
    tier: str = ""
    kind: str
    namespace: str = ""
    name: str = ""
    action: enums.Action
    rule: int = NO_RULE

    def render(self) -> str:
        """The text form: ``ingress|default|knp:shop/cart|allow|0``.

        Whatever the names are, there is no space in it, so that a trace can be split at them: bars, spaces
        and the like are written as in a URL (``%7C``, ``%20``).
        """
        name = _escape(self.name, "/:" if self.kind == UNRECOGNISED else ":")
        owner = f"{_escape(self.namespace, ':')}/{name}" if self.namespace else name
        kind = _escape(self.kind)
        subject = f"{kind}:{owner}" if owner else kind
        return f"{self.direction}|{_escape(self.tier, ':/')}|{subject}|{self.action}|{self.rule}"

    def describe(self) -> str:
        """A sentence for a person."""
        if self.kind == END_OF_TIER:
            done = "decided" if self.action == enums.Action.PASS else "allowed"
            return f"{self.direction}: end of tier {self.tier}, no policy {done} it"
        if self.kind == NO_PROFILE:
            return f"{self.direction}: no profile allowed it"
        if self.kind == DEFAULT_DENY:
            return f"{self.direction}: no policy allowed it"
        owner = f"{self.namespace}/{self.name}" if self.namespace else self.name
        place = f" of tier {self.tier}" if self.tier not in ("", PROFILE_TIER) else ""
        rule = f", rule {self.rule}" if self.rule != NO_RULE else ""
        return f"{self.direction}: {_KIND_WORDS.get(self.kind, self.kind)} {owner}{place}{rule}"

    def prefix(self, *, legacy: bool = False) -> str:
        """The NFLOG prefix that Felix renders for this rule, hashed where it is too long.

        Args:
            legacy: As Calico 3.30 and 3.31 write it, rather than 3.32 and later.
        """
        if self.kind == UNRECOGNISED:
            return self.name
        side = self.direction[0].upper()
        letter = _LETTERS[self.action]
        if self.kind == NO_PROFILE:
            return f"DR{side}"
        if self.kind == END_OF_TIER:
            return limit_prefix(f"{letter}P{side}|{self.tier}")
        if self.kind == PROFILE:
            return limit_prefix(f"{letter}R{side}{self.rule}|{self.name}")
        identity = self._legacy_identity() if legacy or self.kind in _LEGACY_TIERS else self._identity()
        return limit_prefix(f"{letter}P{side}{self.rule}|{identity}")

    def _identity(self) -> str:
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)

    def _legacy_identity(self) -> str:
        tier = _LEGACY_TIERS.get(self.kind) or self.tier or DEFAULT_TIER
        if self.kind == "knp":
            name = f"knp.{DEFAULT_TIER}.{self.name}"
        elif self.kind in _LEGACY_TIERS:
            name = f"{self.kind}.{tier}.{self.name}"
        elif self.kind in ("np", "gnp"):
            name = in_tier(self.name, tier)
        else:
            return self._identity()  # a kind that 3.31 did not have
        return f"{self.namespace}/{name}" if self.namespace else name


def in_tier(name: str, tier: str) -> str:
    """The name of a policy with its tier in front, once: what its custom resource was called up to 3.31."""
    return name if name.startswith(f"{tier}.") else f"{tier}.{name}"


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
        direction=enums.Direction(direction), tier=_unescape(tier), kind=_unescape(kind),
        namespace=_unescape(namespace), name=_unescape(name), action=enums.Action(action), rule=int(rule),
    )  # fmt: skip


def deciding(trace: str) -> str:
    """The hit that decided in a trace as text, the last allow or deny; empty where none did."""
    decided = (hit for hit in reversed(trace.split()) if hit.split("|")[3:4] in (["allow"], ["deny"]))
    return next(decided, "")


def _escape(text: str, also_plain: str = "") -> str:
    return urllib.parse.quote(text, safe=_PLAIN + also_plain, errors="surrogatepass")


def _unescape(text: str) -> str:
    return urllib.parse.unquote(text, errors="surrogatepass")


def limit_prefix(text: str) -> str:
    """A prefix as it goes to the kernel: 63 characters or more are hashed in the middle."""
    if len(text) < _TOO_LONG:
        return text
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
    return f"{text[:10]}_{digest[:41]}_{text[-10:]}"


def parse_prefix(prefix: str) -> PolicyHit | None:
    """What a prefix of Calico's says by itself, in either form; None if it is not in Calico's grammar.

    Where the identity is hashed, or of neither form, action, direction and rule index are still known; kind
    is ``unrecognised`` then and the name is the prefix.
    """
    if prefix in ("DRI", "DRE"):
        return PolicyHit(
            direction=_DIRECTIONS[prefix[2]], tier=PROFILE_TIER, kind=NO_PROFILE, action=enums.Action.DENY
        )
    head = _HEAD.match(prefix)
    if head is None:
        return None
    letter, owner, side, index = head.groups()
    if index is None and (owner == "R" or letter == "A"):
        return None
    hit = PolicyHit(
        direction=_DIRECTIONS[side], kind=UNRECOGNISED, name=prefix, action=_ACTIONS[letter],
        rule=NO_RULE if index is None else int(index),
    )  # fmt: skip
    identity = prefix[head.end() :]
    if len(prefix) >= _TOO_LONG or not identity:
        return hit
    if owner == "R":
        return dataclasses.replace(hit, tier=PROFILE_TIER, kind=PROFILE, name=identity)
    if index is None:
        known = "/" not in identity
        return dataclasses.replace(hit, tier=identity, kind=END_OF_TIER, name="") if known else hit
    return _identified(hit, identity)


def _identified(hit: PolicyHit, identity: str) -> PolicyHit:
    """The hit with what the identity of its policy says; as it was, if that is of neither form.

    Both forms may have two parts. The legacy one begins with a namespace then and always has a dot after the
    tier, so text alone cannot tell it from 3.32's where a namespace is called ``gnp``, ``kcnp`` or ``sgnp``.
    """
    first, *rest = identity.split("/")
    if not all((first, *rest)) or len(rest) > 2:
        return hit
    if len(rest) == 2:
        return _of_kind(hit, first, *rest)
    if rest and (first in _CLUSTER_WIDE or first != first.lower() or "." not in rest[0]):
        return _of_kind(hit, first, "", rest[0])
    namespace, text = (first, rest[0]) if rest else ("", first)
    for start, (kind, tier) in _LEGACY_STARTS.items():
        if text.startswith(start) and text != start:
            name = text.removeprefix(start)
            return dataclasses.replace(hit, tier=tier, kind=kind, namespace=namespace, name=name)
    tier, _, name = text.partition(".")
    if not name or not _TIER.fullmatch(tier):
        return hit
    kind = "np" if namespace else "gnp"
    return dataclasses.replace(hit, tier=tier, kind=kind, namespace=namespace, name=name)


def _of_kind(hit: PolicyHit, kind: str, namespace: str, name: str) -> PolicyHit:
    if kind in _OWN_WORDS or not _KIND.fullmatch(kind):
        return hit
    return dataclasses.replace(hit, kind=kind, namespace=namespace, name=name)
