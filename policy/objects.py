"""Policies in compiled form: one form for every kind, with nothing left that has to be looked up.

Selectors are already limited to the namespaces that they speak about, protocols are numbers, networks
and ports are parsed. Positions in ``Policy.ingress`` and ``Policy.egress`` are the rule indexes of NFLOG
prefixes.
"""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import math
from collections.abc import Iterable

from model import enums
from policy import selector

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_TIER = "default"

KIND_NAMES = {
    "np": "NetworkPolicy", "gnp": "GlobalNetworkPolicy", "knp": "KubernetesNetworkPolicy",
    "kcnp": "KubernetesClusterNetworkPolicy", "kanp": "KubernetesAdminNetworkPolicy",
    "kbanp": "KubernetesBaselineAdminNetworkPolicy", "snp": "StagedNetworkPolicy",
    "sgnp": "StagedGlobalNetworkPolicy", "sknp": "StagedKubernetesNetworkPolicy",
}  # fmt: skip
"""How Calico spells each kind of policy in comments, and where names are put in order."""

KINDS = {
    ("networking.k8s.io", "NetworkPolicy"): "knp", ("projectcalico.org", "NetworkPolicy"): "np",
    ("projectcalico.org", "GlobalNetworkPolicy"): "gnp", ("projectcalico.org", "StagedNetworkPolicy"): "snp",
    ("projectcalico.org", "StagedGlobalNetworkPolicy"): "sgnp",
    ("projectcalico.org", "StagedKubernetesNetworkPolicy"): "sknp",
    ("policy.networking.k8s.io", "ClusterNetworkPolicy"): "kcnp",
    ("policy.networking.k8s.io", "AdminNetworkPolicy"): "kanp",
    ("policy.networking.k8s.io", "BaselineAdminNetworkPolicy"): "kbanp",
}  # fmt: skip
"""Each kind of policy by its API group and name; Calico's own are stored in crd.projectcalico.org too."""

STAGED = {"snp": "np", "sgnp": "gnp", "sknp": "knp"}
"""The kinds that are in no dataplane yet, and what they would be."""


class RuleAction(enum.StrEnum):
    """What one rule says; unlike ``enums.Action`` it includes ``log``, which never is a policy hit."""

    ALLOW = "allow"
    DENY = "deny"
    PASS = "pass"  # noqa: S105  # an action, not a password
    LOG = "log"


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """Port numbers from ``first`` to ``last``, both included."""

    first: int
    last: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Icmp:
    """ICMP messages of one type and, if given, one code."""

    type: int
    code: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One side of a rule; everything that is given has to hold, and an empty side is anybody.

    Attributes:
        members: The address belongs to an endpoint or network set that matches; None claims nothing.
        not_members: It belongs to none that matches; addresses that nobody knows fulfil this.
        nets: The address is in one of these. A list without the packet's family never matches.
        not_nets: It is in none of these; here too, a list without the packet's family never matches.
        ports: The port is in one of these ranges, or has one of ``port_names``.
        port_names: Names of container ports, of the endpoint that the address belongs to and that
            ``members`` matches, with the packet's protocol.
        not_ports: The port is in none of these ranges, and has none of ``not_port_names``.
        service: Namespace and name of a service: the address is one of those behind it and, on the
            destination's side, the port is that service's there.
    """

    members: selector.Selector | None = None
    not_members: selector.Selector | None = None
    nets: tuple[Network, ...] = ()
    not_nets: tuple[Network, ...] = ()
    ports: tuple[PortRange, ...] = ()
    port_names: tuple[str, ...] = ()
    not_ports: tuple[PortRange, ...] = ()
    not_port_names: tuple[str, ...] = ()
    service: tuple[str, str] | None = None

    def allows_family(self, family: int) -> bool:
        """Whether any packet of this address family (4 or 6) can match the networks."""
        for nets in (self.nets, self.not_nets):
            if nets and not any(net.version == family for net in nets):
                return False
        return not any(net.version == family and net.prefixlen == 0 for net in self.not_nets)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule; everything that is given has to hold.

    Attributes:
        protocol: IP protocol number; None is any.
        not_protocol: IP protocol number that it must not be.
        ip_version: 4 or 6; None is both.
        written: Which rule of the manifest it comes from, counted from 0 in its direction.
        closed: Whether it denies everything since nobody can tell whom the written one means.
    """

    action: RuleAction
    protocol: int | None = None
    not_protocol: int | None = None
    ip_version: int | None = None
    icmp: Icmp | None = None
    not_icmp: Icmp | None = None
    written: int = 0
    closed: bool = False
    source: Peer = Peer()
    destination: Peer = Peer()

    def allows_family(self, family: int) -> bool:
        """Whether any packet of this address family (4 or 6) can match; Felix leaves the others out."""
        if self.ip_version not in (None, family):
            return False
        return self.source.allows_family(family) and self.destination.allows_family(family)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy.

    Attributes:
        kind: A key of `KIND_NAMES`, as in NFLOG prefixes.
        namespace: Empty for a global one.
        order: Place in its tier; infinite where none is given.
        subjects: Which endpoints it applies to, its own namespace included.
        types: The directions in which it applies; rules of another direction do nothing.
        forward: Whether it also judges what a host passes on (``applyOnForward``).
        early: ``doNotTrack`` or ``preDNAT`` where it acts before connection tracking or before service
            translation: on hosts alone, and pods never meet it.
    """

    kind: str
    namespace: str = ""
    name: str
    tier: str = DEFAULT_TIER
    order: float = math.inf
    subjects: selector.Selector
    types: frozenset[enums.Direction]
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    forward: bool = False
    early: str = ""

    @property
    def staged(self) -> bool:
        """Whether it is in no dataplane, and only said what it would do."""
        return self.kind in STAGED

    @property
    def identity(self) -> str:
        """Calico's identity of the policy (3.32 and later): ``np/shop/web``, ``gnp/no-metadata``."""
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)

    def rules(self, direction: enums.Direction) -> tuple[Rule, ...]:
        """The rules of one direction, whether or not it is among ``types``."""
        return self.ingress if direction is enums.Direction.INGRESS else self.egress


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A group of policies that is judged before or after the others.

    Attributes:
        order: Place among the tiers; infinite where none is given.
        default_action: What happens to packets that no policy of the tier decided: deny or pass.
        declared: Whether there is a Tier object; a tier that policies only name comes last.
    """

    name: str
    order: float = math.inf
    default_action: enums.Action = enums.Action.DENY
    declared: bool = True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Rules for endpoints that name it, asked once all tiers have passed."""

    name: str
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()


BUILT_IN_TIERS = (
    Tier(name="kube-admin", order=1_000, default_action=enums.Action.PASS),
    Tier(name=DEFAULT_TIER, order=1_000_000),
    Tier(name="kube-baseline", order=10_000_000, default_action=enums.Action.PASS),
)
"""The tiers that are there without anybody making them (Calico 3.32 and later)."""

LEGACY_TIERS = (
    Tier(name="adminnetworkpolicy", order=1_000, default_action=enums.Action.PASS),
    Tier(name="baselineadminnetworkpolicy", order=10_000_000, default_action=enums.Action.PASS),
)
"""The tiers of AdminNetworkPolicy and BaselineAdminNetworkPolicy (Calico 3.29 to 3.31)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PolicySet:
    """All policies of a cluster; make one with ``policy_set``, which puts them in order.

    Attributes:
        tiers: In the order in which they are judged.
        policies: What is enforced, in the order in which it is judged, tier by tier.
        staged: What is not enforced yet, in the same order.
        profiles: Those that somebody wrote; a namespace's own, which allows all, is there without.
    """

    tiers: tuple[Tier, ...] = BUILT_IN_TIERS
    policies: tuple[Policy, ...] = ()
    staged: tuple[Policy, ...] = ()
    profiles: tuple[Profile, ...] = ()

    def pending(self) -> PolicySet:
        """As if all that is staged were enforced, each at its place in the order, beside its namesake."""
        return dataclasses.replace(self, policies=self.everything(), staged=())

    def everything(self) -> tuple[Policy, ...]:
        """What is enforced and what is staged, in the order in which it would be judged."""
        return _in_order(self.tiers, (*self.policies, *self.staged))


def policy_set(
    tiers: Iterable[Tier], policies: Iterable[Policy], profiles: Iterable[Profile] = ()
) -> PolicySet:
    """Tiers and policies in the order of judgement (felix/calc/policy_sorter.go).

    Built-in tiers are added unless given, and so are tiers that a policy names and nobody declared.
    """
    found = list(policies)
    known = {tier.name: tier for tier in (*BUILT_IN_TIERS, *tiers)}
    legacy = {tier.name: tier for tier in LEGACY_TIERS}
    for policy in found:
        known.setdefault(policy.tier, legacy.get(policy.tier, Tier(name=policy.tier, declared=False)))
    ordered = sorted(known.values(), key=lambda tier: (not tier.declared, tier.order, tier.name))
    return PolicySet(
        tiers=tuple(ordered), policies=_in_order(ordered, (one for one in found if not one.staged)),
        staged=_in_order(ordered, (one for one in found if one.staged)), profiles=tuple(profiles),
    )  # fmt: skip


def _in_order(tiers: Iterable[Tier], policies: Iterable[Policy]) -> tuple[Policy, ...]:
    place = {tier.name: i for i, tier in enumerate(tiers)}
    return tuple(sorted(policies, key=lambda one: (place[one.tier], one.order, _tie_break(one))))


def _tie_break(policy: Policy) -> str:
    return f"{policy.name}/{policy.namespace}/{KIND_NAMES[policy.kind]}"
