"""What the name of a chain of Calico's stands for, and what the comment of its first rule says.

Names and hashes are those of felix/rules (rule_defs.go, policy.go) and libcalico-go/lib/hash/unique_id.go;
names of policies before 3.32, which Calico calls v1, those of libcalico-go/lib/names.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re

from model import enums, policyhit

INGRESS, EGRESS = enums.Direction.INGRESS, enums.Direction.EGRESS

POLICY = {INGRESS: "cali-pi-", EGRESS: "cali-po-"}
PROFILE = {INGRESS: "cali-pri-", EGRESS: "cali-pro-"}
GROUP = {INGRESS: "cali-gi-", EGRESS: "cali-go-"}
ENDPOINT = {INGRESS: "cali-tw-", EGRESS: "cali-fw-"}
"""Chains of pods: to a workload, from a workload."""
HOST_ENDPOINT = {INGRESS: ("cali-fh-", "cali-fhfw-"), EGRESS: ("cali-th-", "cali-thfw-")}
"""Chains of host endpoints: their own traffic, and what they forward."""

IPTABLES_LIMIT, NFTABLES_LIMIT = 28, 256
"""Characters of a chain's name, without the layer that nftables mode puts before it."""

_KINDS = {
    "NetworkPolicy": "np", "GlobalNetworkPolicy": "gnp", "KubernetesNetworkPolicy": "knp",
    "KubernetesClusterNetworkPolicy": "kcnp",
}  # fmt: skip
_V1_KINDS = ("knp", "kanp", "kbanp", "ossg")
_SEGMENTS = {"np": 3, "knp": 3, "gnp": 2, "kcnp": 2}
_LAYER = re.compile(r"(filter|mangle|nat|raw)-(?=cali-)")
_COMMENT = re.compile(rf"(Policy|Profile|{'|'.join(_KINDS)}) (\S+) (ingress|egress)")


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """One rule of a policy that is rendered.

    Attributes:
        index: Its place in the list that Felix received.
        action: What it says; None for a log rule, which decides nothing.
    """

    index: int
    action: enums.Action | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The policy or profile that a chain was rendered from.

    Attributes:
        tier: Empty where only a comment is known, which does not carry it.
        kind: As in ``policyhit.PolicyHit``.
        ipv4: The rules that are rendered for IPv4, in order; None if the policy itself is not known.
        ipv6: The same for IPv6.
    """

    direction: enums.Direction
    tier: str = ""
    kind: str
    namespace: str = ""
    name: str
    ipv4: tuple[Listed, ...] | None = None
    ipv6: tuple[Listed, ...] | None = None

    def listed(self, family: int) -> tuple[Listed, ...] | None:
        """The rules that are rendered for an address family (4 or 6)."""
        return self.ipv4 if family == 4 else self.ipv6

    def agrees(self, other: Owner) -> bool:
        """Whether both may be the same; a name can have its tier before it, or not."""
        same = (self.direction, self.kind, self.namespace) == (other.direction, other.kind, other.namespace)
        names = {self.name, f"{self.tier}.{self.name}"} & {other.name, f"{other.tier}.{other.name}"}
        return same and bool(names)

    def hit(self, action: enums.Action, rule: int) -> policyhit.PolicyHit:
        """The hit of one of its rules."""
        return policyhit.PolicyHit(
            direction=self.direction, tier=self.tier, kind=self.kind, namespace=self.namespace,
            name=self.name, action=action, rule=rule,
        )  # fmt: skip


def encode(digest: bytes) -> str:
    """A hash in the alphabet that Calico uses in names: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def limited(prefix: str, suffix: str, limit: int) -> str:
    """A name of at most ``limit`` characters; a suffix that does not fit is replaced by its hash."""
    suffix = suffix or "_"
    length = len(prefix) + len(suffix)
    if length < limit or (length == limit and not suffix.startswith("_")):
        return prefix + suffix
    digest = encode(hashlib.sha256(suffix.encode()).digest())
    return f"{prefix}_{digest[: limit - 1 - len(prefix)]}"


def layer(chain: str) -> tuple[str, str]:
    """A chain's name in nftables mode as layer and name: ``filter-cali-pi-x`` is ``filter``, ``cali-pi-x``.

    The layer of a name that has none is empty.
    """
    found = _LAYER.match(chain)
    return (found[1], chain[found.end() :]) if found else ("", chain)


def v1_name(kind: str, namespace: str, tier: str, name: str) -> str:
    """What Calico before 3.32 calls a policy inside Felix: ``shop/default.web``, ``shop/knp.default.web``."""
    whole = f"knp.{policyhit.DEFAULT_TIER}.{name}" if kind == "knp" else policyhit.in_tier(name, tier)
    return f"{namespace}/{whole}" if namespace else whole


def read_comment(text: str) -> Owner | None:
    """Whose a chain is, by a comment of its first rule; None if the comment says something else.

    A comment that was cut, as nftables' limit requires, has lost its last word and is not believed.
    """
    found = _COMMENT.fullmatch(text)
    if not found:
        return None
    word, whose, side = found.groups()
    direction = enums.Direction(side)
    if word == "Profile":
        return _profile(direction, whose)
    if word == "Policy":
        return _read_v1(direction, whose)
    namespace, _, name = whose.rpartition("/")
    return Owner(direction=direction, kind=_KINDS[word], namespace=namespace, name=name)


def read_name(chain: str) -> Owner | None:
    """Whose a chain is, by its own name without layer; None if that is hashed, or can mean two things."""
    for direction in enums.Direction:
        if chain.startswith(PROFILE[direction]):
            name = chain.removeprefix(PROFILE[direction])
            return None if name.startswith("_") else _profile(direction, name)
        if chain.startswith(POLICY[direction]):
            return _read_suffix(direction, chain.removeprefix(POLICY[direction]))
    return None


def _read_suffix(direction: enums.Direction, suffix: str) -> Owner | None:
    first, *rest = suffix.split("/")
    if suffix.startswith("_"):
        return None
    if len(rest) + 1 == _SEGMENTS.get(first) and not rest[-1].startswith("knp."):
        namespace = rest[0] if len(rest) == 2 else ""
        return Owner(direction=direction, kind=first, namespace=namespace, name=rest[-1])
    if len(rest) == 2:  # 3.29 to 3.31: the tier before everything
        return _read_v1(direction, "/".join(rest))
    if len(rest) == 1 and rest[0].startswith(f"{first}."):
        # A global policy of tier x (3.29 to 3.31), or one of namespace x (before), if there is a tier x.
        return None if first == policyhit.DEFAULT_TIER else _read_v1(direction, rest[0])
    return _read_v1(direction, suffix)


def _read_v1(direction: enums.Direction, text: str) -> Owner:
    """Whose a v1 name is; as in ``policyhit``, the tier is no part of the policy's name then."""
    namespace, _, whole = text.rpartition("/")
    first, dot, rest = whole.partition(".")
    if first in _V1_KINDS:
        tier, _, name = rest.partition(".")
        return Owner(direction=direction, tier=tier, kind=first, namespace=namespace, name=name)
    kind = "np" if namespace else "gnp"
    tier, name = (first, rest) if dot else (policyhit.DEFAULT_TIER, whole)
    return Owner(direction=direction, tier=tier, kind=kind, namespace=namespace, name=name)


def _profile(direction: enums.Direction, name: str) -> Owner:
    return Owner(direction=direction, tier=policyhit.PROFILE_TIER, kind=policyhit.PROFILE, name=name)
