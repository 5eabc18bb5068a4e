"""The filter rules of one node, shaped as Calico renders them in nftables mode with flow logs on.

The shape is Calico 3.32's (felix/rules): dispatch by interface into one chain for each pod and direction,
from there to the chains of policies, verdicts as mark bits, and an NFLOG rule beside each decision.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools

from lab import chains, matches, tables
from model import chainnames, cluster, enums
from policy import objects, prefixes, services, subjects

INGRESS, EGRESS = enums.Direction.INGRESS, enums.Direction.EGRESS

INTERFACE_PREFIX = "cali"
NFLOG_GROUPS = {INGRESS: 1, EGRESS: 2}
_SNAPLEN = 80  # bytes of each packet: headers, and no payload to speak of
_VXLAN_PORT = 4789
_RETURN_STRIDE = 5  # jumps of a group between two looks at the verdict
_DISPATCH = {INGRESS: "cali-to-wl-dispatch", EGRESS: "cali-from-wl-dispatch"}
_LAYER = "filter-"
_NEIGHBOUR_TYPES = (130, 131, 132, 133, 135, 136)  # ICMPv6: without these there is no neighbour to talk to

_Line = chains.Line


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the lab's control plane knows."""

    cluster: cluster.Cluster
    policies: objects.PolicySet


def interface_name(namespace: str, pod: str) -> str:
    """The node's end of a pod's veth pair, as Calico names it."""
    return INTERFACE_PREFIX + hashlib.sha1(f"{namespace}.{pod}".encode()).hexdigest()[:11]  # noqa: S324


def table(world: World, node: str, family: int) -> tables.Table:
    """A node's ``calico`` table of one family (4 or 6)."""
    return _Renderer(world, node, family).table()


class _Renderer:
    """One node and family: collects chains and sets while it writes rules that refer to them."""

    def __init__(self, world: World, node: str, family: int) -> None:
        self._family = family
        self._subjects = subjects.Subjects(world.policies, world.cluster)
        self._sets = matches.Sets(self._subjects, family, services.behind(world.cluster))
        self._endpoints = self._subjects.local(node)
        self._chains: dict[str, chains.Chain] = {}

    def table(self) -> tables.Table:
        for direction in (EGRESS, INGRESS):
            for endpoint in self._endpoints:
                self._endpoint_chain(endpoint, direction)
            self._dispatch_chain(direction)
        self._forward()
        self._input()
        self._output()
        name = f"{'ip' if self._family == 4 else 'ip6'} calico"
        maps = [self._dispatch_map(direction) for direction in (EGRESS, INGRESS)]
        return tables.Table(name, (*self._sets.all(), *maps), tuple(self._chains.values()))

    def _add(self, name: str, lines: list[_Line], hook: str = "") -> str:
        """Adds a chain by its name without layer prefix; gives the name with it."""
        whole = _LAYER + name
        self._chains[whole] = chains.Chain(whole, tuple(lines), hook)
        return whole

    def _base(self, name: str, lines: list[_Line]) -> None:
        self._add(name, lines, f"type filter hook {name.lower()} priority filter; policy accept;")

    def _forward(self) -> None:
        empty = [
            self._add(f"cali-{name}", []) for name in ("from-hep-forward", "to-hep-forward", "cidr-block")
        ]
        from_host, to_host, blocked = empty
        chain = self._add("cali-FORWARD", [
            _Line("", chains.clear_mark(chains.ALL_MARKS ^ chains.ACCEPT)),
            _Line(chains.is_clear(chains.ACCEPT), f"jump {from_host}"),
            _Line(f"iifname {INTERFACE_PREFIX}*", f"jump {_LAYER}{_DISPATCH[EGRESS]}"),
            _Line(f"oifname {INTERFACE_PREFIX}*", f"jump {_LAYER}{_DISPATCH[INGRESS]}"),
            _Line("", f"jump {to_host}"),
            _Line("", f"jump {blocked}"),
        ])  # fmt: skip
        self._base("FORWARD", [
            _Line("", f"jump {chain}"),
            _Line(chains.is_set(chains.ACCEPT), "accept", "Policy explicitly accepted packet."),
            _Line("", chains.set_mark(chains.ACCEPT)),
        ])  # fmt: skip

    def _input(self) -> None:
        neighbours = [_Line(f"meta l4proto icmpv6 icmpv6 type {t}", "accept") for t in _NEIGHBOUR_TYPES]
        to_host = self._add("cali-wl-to-host", [
            *(neighbours if self._family == 6 else []),
            _Line("", f"jump {_LAYER}{_DISPATCH[EGRESS]}"),
            _Line("", "accept", "Configured DefaultEndpointToHostAction"),
        ])  # fmt: skip
        chain = self._add("cali-INPUT", [
            _Line(f"iifname {INTERFACE_PREFIX}*", f"goto {to_host}"),
            _Line(chains.is_set(chains.ACCEPT), "accept"),
        ])  # fmt: skip
        self._base("INPUT", [_Line("", f"jump {chain}")])

    def _output(self) -> None:
        chain = self._add("cali-OUTPUT", [
            _Line(chains.is_set(chains.ACCEPT), "accept"),
            _Line(f"oifname {INTERFACE_PREFIX}*", "return"),  # the host reaches its own pods, always
            _Line("", chains.clear_mark(chains.ALL_MARKS)),
        ])  # fmt: skip
        self._base("OUTPUT", [_Line("", f"jump {chain}")])

    def _dispatch_chain(self, direction: enums.Direction) -> None:
        side = "iifname" if direction is EGRESS else "oifname"
        name = _DISPATCH[direction]
        # The map's verdicts are gotos: a return from a pod's chain leads back to cali-FORWARD, where the
        # other pod's chain comes next if both are here.
        self._add(name, [_Line(f"{side} vmap @{_LAYER}{name}"), _Line("", "drop", "Unknown interface")])

    def _dispatch_map(self, direction: enums.Direction) -> tables.Set:
        names = sorted(interface_name(end.namespace, end.name) for end in self._endpoints)
        verdicts = (f'"{name}" : goto {_LAYER}{chainnames.ENDPOINT[direction]}{name}' for name in names)
        return tables.Set(_LAYER + _DISPATCH[direction], "map", "type ifname : verdict;", tuple(verdicts))

    def _endpoint_chain(self, endpoint: subjects.Endpoint, direction: enums.Direction) -> None:
        lines = [
            _Line("ct state established,related", "accept"),
            _Line("ct state invalid", "drop"),
            _Line("", chains.clear_mark(chains.ACCEPT | chains.PASS)),
        ]
        if direction is EGRESS:
            lines += _no_tunnels(self._family)
        for tier, policies in self._subjects.applying(endpoint.labels, direction):
            lines += self._tier(tier, policies, direction)
        for profile in endpoint.profiles:
            lines.append(_Line("", f"jump {self._profile_chain(profile, endpoint.namespace, direction)}"))
            lines.append(_Line(chains.is_set(chains.ACCEPT), "return", "Return if profile accepted"))
        lines.append(_Line("", _nflog(prefixes.no_profile(direction).prefix(), direction)))
        lines.append(_Line("", "drop", "Drop if no profiles matched"))
        self._add(chainnames.ENDPOINT[direction] + interface_name(endpoint.namespace, endpoint.name), lines)

    def _tier(
        self, tier: objects.Tier, policies: list[objects.Policy], direction: enums.Direction
    ) -> list[_Line]:
        open_ = chains.is_clear(chains.PASS)
        lines = [_Line("", chains.clear_mark(chains.PASS), f"Start of tier {tier.name}")]
        for _, same in itertools.groupby(policies, key=lambda policy: policy.subjects.render()):
            lines.append(_Line(open_, f"jump {self._group_chain(list(same), direction)}"))
            lines.append(_Line(chains.is_set(chains.ACCEPT), "return", "Return if policy accepted"))
        end = prefixes.end_of_tier(tier.name, direction, tier.default_action)
        lines.append(_Line(open_, _nflog(end.prefix(), direction)))
        if tier.default_action is enums.Action.DENY:
            comment = f"End of tier {tier.name}. Drop if no policies passed packet"
            lines.append(_Line(open_, "drop", comment))
        return lines

    def _group_chain(self, policies: list[objects.Policy], direction: enums.Direction) -> str:
        """The chain of some policies with one selector: their own if there is one, else a group of them."""
        targets = [self._policy_chain(policy, direction) for policy in policies]
        if len(targets) == 1:
            return targets[0]
        lines: list[_Line] = []
        decided = chains.ACCEPT | chains.PASS
        for i, target in enumerate(targets):
            if i and i % _RETURN_STRIDE == 0:
                lines.append(_Line(chains.is_not_clear(decided), "return", "Return on verdict"))
            lines.append(_Line(chains.is_clear(decided) if i % _RETURN_STRIDE else "", f"jump {target}"))
        return self._add(chainnames.GROUP[direction] + _group_id(policies, direction), lines)

    def _policy_chain(self, policy: objects.Policy, direction: enums.Direction) -> str:
        name = chains.limited(chainnames.POLICY[direction], policy.identity)
        if _LAYER + name in self._chains:
            return _LAYER + name
        lines: list[_Line] = []
        for index in range(len(policy.rules(direction))):
            lines += self._rule(policy, direction, index)
        owner = "/".join(part for part in (policy.namespace, policy.name) if part)
        comment = f"{objects.KIND_NAMES[policy.kind]} {owner} {direction}"
        return self._add(name, _titled(lines, comment))

    def _rule(self, policy: objects.Policy, direction: enums.Direction, index: int) -> list[_Line]:
        rule = policy.rules(direction)[index]
        compiled = matches.compile_rule(rule, self._sets)
        if compiled is None:
            return []
        before, match = compiled
        hit = prefixes.rule_hit(policy, direction, index)
        if hit is None:
            return [*before, _Line(match, 'log prefix "calico-packet: " level info')]
        return [*before, *_decision(match, hit.action, _nflog(hit.prefix(), direction))]

    def _profile_chain(self, profile: str, namespace: str, direction: enums.Direction) -> str:
        name = chains.limited(chainnames.PROFILE[direction], profile)
        lines: list[_Line] = []
        if profile.startswith("kns."):
            prefix = prefixes.profile_hit(namespace, direction).prefix()
            lines = _decision("", enums.Action.ALLOW, _nflog(prefix, direction))
        return self._add(name, _titled(lines, f"Profile {profile} {direction}"))


_MARKS = {
    enums.Action.ALLOW: (chains.ACCEPT, "return"),
    enums.Action.PASS: (chains.PASS, "return"),
    enums.Action.DENY: (chains.DROP, "drop"),
}


def _decision(match: str, action: enums.Action, nflog: str) -> list[_Line]:
    """Mark, log, and go: three rules, the first of which counts what matched."""
    bit, verdict = _MARKS[action]
    marked = chains.is_set(bit)
    return [_Line(match, chains.set_mark(bit)), _Line(marked, nflog), _Line(marked, verdict)]


def _titled(lines: list[_Line], comment: str) -> list[_Line]:
    """Lines whose first one says whose they are; an empty chain gets one that does nothing else."""
    first, *rest = lines or [_Line()]
    return [dataclasses.replace(first, comment=comment), *rest]


def _nflog(prefix: str, direction: enums.Direction) -> str:
    return f'log prefix "{prefix}" snaplen {_SNAPLEN} group {NFLOG_GROUPS[direction]}'


def _no_tunnels(family: int) -> list[_Line]:
    """A pod that could write the overlay's envelopes itself would walk around every policy."""
    vxlan = "Drop VXLAN encapped packets originating in workloads"
    lines = [_Line(f"meta l4proto udp udp dport {{ {_VXLAN_PORT} }}", "drop", vxlan)]
    if family == 4:
        lines.append(_Line("meta l4proto 4", "drop", "Drop IPinIP encapped packets originating in workloads"))
    return lines


def _group_id(policies: list[objects.Policy], direction: enums.Direction) -> str:
    """The name of a policy group (felix/rules, PolicyGroup.UniqueID)."""
    side = "inbound" if direction is INGRESS else "outbound"
    owners = [
        f"{{Name: {p.name}, Namespace: {p.namespace}, Kind: {objects.KIND_NAMES[p.kind]}}}" for p in policies
    ]
    lines = [policies[0].subjects.render(), side, str(len(policies)), *owners]
    return chainnames.encode(hashlib.sha3_224("".join(f"{line}\n" for line in lines).encode()).digest())[:20]
