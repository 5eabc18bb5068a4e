"""Why a connection is allowed or denied, as one would tell a colleague."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterator, Sequence

from model import address, enums, policyhit
from policy import evaluate, objects, program, queries, reasons, services, subjects, world

_INGRESS, _EGRESS = enums.Direction.INGRESS, enums.Direction.EGRESS
_KINDS = {
    "np": "Calico NetworkPolicy", "gnp": "GlobalNetworkPolicy", "knp": "NetworkPolicy",
    "kcnp": "ClusterNetworkPolicy", "kanp": "AdminNetworkPolicy", "kbanp": "BaselineAdminNetworkPolicy",
    "snp": "StagedNetworkPolicy", "sgnp": "StagedGlobalNetworkPolicy",
    "sknp": "StagedKubernetesNetworkPolicy",
}  # fmt: skip
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_DOES = {"allow": "allows", "deny": "denies", "pass": "passes"}
_PLACES = {
    program.Chain.UNTRACKED: "At {}, before connections are tracked: ",
    program.Chain.PRE_DNAT: "At {}, before services are translated: ",
    program.Chain.FORWARD: "On its way through {}: ",
}
_WEIGHTS = {
    reasons.Part.PORT: 2, reasons.Part.PROTOCOL: 3, reasons.Part.SOURCE: 4, reasons.Part.DESTINATION: 4,
}  # fmt: skip
"""How far away a rule is that does not fit in one part: ports are what people mistype."""


@dataclasses.dataclass(frozen=True, slots=True)
class Nearest:
    """The rule that would have allowed a connection, but for some reasons.

    Attributes:
        index: Its place in the compiled policy.
    """

    policy: objects.Policy
    index: int
    reasons: tuple[reasons.Reason, ...]
    sentence: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one end's policies say, and those of the host endpoints there.

    Attributes:
        rule_direction: That of the rules that decide: on the way out of a pod, a host endpoint's may be about
            what comes in to the host.
        verdict: ``allowed``, ``denied`` or ``not judged``.
        sentences: Tier by tier.
        trace: The hits.
        selecting: The policies that select the end.
        nearest: Where it is denied, the rule that came nearest to allowing it.
    """

    direction: enums.Direction
    rule_direction: enums.Direction
    end: str
    verdict: str
    sentences: tuple[str, ...]
    trace: tuple[policyhit.PolicyHit, ...] = ()
    selecting: tuple[objects.Policy, ...] = ()
    nearest: Nearest | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All of it.

    Attributes:
        sentence: The whole in one.
        pending: What would change if all that is staged were enforced; empty if nothing would.
    """

    query: queries.Query
    asked: reasons.Connection
    sentence: str
    denied: bool
    egress: Side
    ingress: Side
    pending: str = ""

    @property
    def sides(self) -> tuple[Side, Side]:
        """On the way out, and on the way in."""
        return self.egress, self.ingress


def name(policy: objects.Policy) -> str:
    """What people call a policy."""
    return " ".join((_KINDS[policy.kind], "/".join(filter(None, (policy.namespace, policy.name)))))


def ordinal(index: int) -> str:
    """The place in a list as a word, from 0."""
    return _ORDINALS[index] if index < len(_ORDINALS) else f"{index + 1}th"


class Explainer:
    """Explains connections in one cluster.

    Args:
        engine: Its policies.
    """

    def __init__(self, engine: evaluate.Engine) -> None:
        self._engine = engine
        self._asker = queries.Asker(engine)
        self._behind = services.behind(engine.cluster)
        found = subjects.endpoints(engine.cluster)
        self._sets = tuple(end for end in found if end.kind is enums.EndpointKind.NETWORK_SET)

    def explain(self, query: queries.Query) -> Explanation:
        """Why it is allowed or denied.

        Raises:
            LookupError: If one of its ends is not there.
        """
        (answer,) = self._asker.ask([query])
        (source, source_at), (target, target_at) = self._asker.ends(query)
        asked = reasons.Connection(
            source=self._end(query.src, source, source_at),
            destination=self._end(query.dst, target, target_at),
            protocol=query.protocol, source_port=query.src_port, port=query.port,
            icmp=(query.icmp_type, query.icmp_code),
        )  # fmt: skip
        egress = self._side(_EGRESS, asked.source, answer.egress, answer.out, asked)
        ingress = self._side(_INGRESS, asked.destination, answer.ingress, answer.into, asked)
        return Explanation(
            query=query, asked=asked, denied=answer.denied, egress=egress, ingress=ingress,
            sentence=_whole(query, egress, ingress), pending=_pending(answer),
        )  # fmt: skip

    def _end(self, text: str, pod: int, packed: bytes) -> reasons.End:
        at = ipaddress.ip_address(address.render(packed) or "::")
        sets = tuple(one for one in self._sets if any(at in net for net in one.nets))
        known = self._engine.world.pods[pod] if pod != world.NOBODY else None
        hosts = (end for end in self._engine.world.hosts.endpoints if any(at in net for net in end.nets))
        host = None if known else next(hosts, None)
        return reasons.End(f"{known.namespace}/{known.name}" if known else text, at, known, sets, host)

    def _side(
        self, direction: enums.Direction, end: reasons.End, trace: tuple[policyhit.PolicyHit, ...],
        said: Sequence[queries.Said], asked: reasons.Connection,
    ) -> Side:  # fmt: skip
        if not said:
            return Side(
                direction=direction, rule_direction=direction, end=end.name, verdict="not judged",
                sentences=(_exempt(direction, end, asked),),
            )  # fmt: skip
        last = said[-1]
        of = last.direction
        nearest = self._nearest(last.selecting, of, last.hits[-1], asked) if last.denied else None
        return Side(
            direction=direction, rule_direction=of, end=end.name, trace=trace,
            verdict="denied" if last.denied else "allowed",
            sentences=tuple(text for one in said for text in _told(one, end.name)),
            selecting=last.selecting, nearest=nearest,
        )  # fmt: skip

    def _nearest(
        self, selecting: Sequence[objects.Policy], direction: enums.Direction, last: policyhit.PolicyHit,
        asked: reasons.Connection,
    ) -> Nearest | None:  # fmt: skip
        """The allowing rule with the least that keeps it from matching, in the tier that has decided."""
        found: tuple[int, Nearest] | None = None
        for policy in (one for one in selecting if one.tier == last.tier):
            for index, rule in enumerate(policy.rules(direction)):
                if rule.action is not objects.RuleAction.ALLOW:
                    continue
                why = reasons.reasons(rule, asked, self._behind)
                distance = sum(_WEIGHTS[one.part] for one in why)
                if why and (found is None or distance < found[0]):
                    found = distance, Nearest(policy, index, tuple(why), _near(policy, rule, direction, why))
        return found[1] if found else None


def _told(said: queries.Said, end: str) -> Iterator[str]:
    """What happens in each tier that judges an endpoint, and at last in its profiles."""
    direction = said.direction
    if said.host:
        end = f"host endpoint {said.host}"
        if said.decided and not said.hits:
            yield f"The port is one of those that {end} always keeps open (failsafe)."
    before = _PLACES.get(said.chain, "").format(end)
    for hit in said.hits:
        if hit.kind == policyhit.NO_PROFILE:
            yield f"No policy has allowed it at {end}, and no profile of it does, so that it is denied."
            continue
        if hit.kind == policyhit.PROFILE:
            yield _by_profile(said, hit, end, direction)
            continue
        mine = [one for one in said.selecting if one.tier == hit.tier]
        if hit.kind == policyhit.END_OF_TIER:
            yield before + _end_of_tier(mine, hit, end, direction)
        else:
            yield before + _decided(mine, hit, direction)


def _by_profile(said: queries.Said, hit: policyhit.PolicyHit, end: str, direction: enums.Direction) -> str:
    if said.host:
        return f"No policy has decided at {end}: its profile {hit.name} {_DOES[hit.action]} it."
    if said.selecting:
        return f"After the last tier, what no policy has denied is allowed ({hit.name})."
    return f"No policy selects {end} for {direction}, so that all of it is allowed."


def _near(
    policy: objects.Policy, rule: objects.Rule, direction: enums.Direction, why: Sequence[reasons.Reason]
) -> str:
    rest = "; ".join(one.sentence for one in why)
    return f"The {ordinal(rule.written)} {direction} rule of {name(policy)} comes nearest, but {rest}."


def _exempt(direction: enums.Direction, end: reasons.End, asked: reasons.Connection) -> str:
    if end.pod and asked.source.pod is asked.destination.pod:
        return f"{end.name} reaches its own address without leaving its network namespace."
    if end.pod and direction is _INGRESS:
        source = asked.source.name
        return f"{source} has the address of {end.name}'s own node, and a node always reaches its own pods."
    if "/" in end.name:
        return f"{end.name} has its node's address, and policies for pods do not apply to it."
    return f"{end.name} is no pod of this cluster, so that no policy judges it there."


def _decided(mine: Sequence[objects.Policy], hit: policyhit.PolicyHit, direction: enums.Direction) -> str:
    identity = "/".join(filter(None, (hit.kind, hit.namespace, hit.name)))
    policy = next(one for one in mine if one.identity == identity)
    rule = policy.rules(direction)[hit.rule]
    tail = " on to the next tier" if hit.action is enums.Action.PASS else ""
    if rule.closed:
        return (
            f"Tier {hit.tier}: whom the {ordinal(rule.written)} {direction} rule of {name(policy)} means "
            "cannot be told here (nodes, domain names, or nobody), so that it denies everything."
        )
    return (
        f"Tier {hit.tier}: the {ordinal(rule.written)} {direction} rule of {name(policy)} matches, and "
        f"{_DOES[hit.action]} it{tail}."
    )


def _end_of_tier(
    mine: Sequence[objects.Policy], hit: policyhit.PolicyHit, end: str, direction: enums.Direction
) -> str:
    names = _enumerated([name(one) for one in mine])
    if hit.action is enums.Action.PASS:
        verb = "select" if len(mine) > 1 else "selects"
        return f"Tier {hit.tier}: {names} {verb} {end}, but no rule matches; the tier passes it on."
    verb = "isolate" if len(mine) > 1 else "isolates"
    rules = sum(len(one.rules(direction)) for one in mine)
    none = "and has no rule" if not rules else "and no rule matches"
    return f"Tier {hit.tier}: {names} {verb} {end} for {direction}, {none}; the tier ends with a denial."


def _enumerated(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} others"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _whole(query: queries.Query, egress: Side, ingress: Side) -> str:
    port = f" {query.port}" if query.port else ""
    if query.protocol in (enums.Protocol.ICMP, enums.Protocol.ICMPV6):
        port = f" type {query.icmp_type}"
    what = f"{query.src} to {query.dst}, {enums.protocol_name(query.protocol)}{port}"
    denying = [side for side in (egress, ingress) if side.verdict == "denied"]
    if len(denying) > 1:
        return f"{what}: denied, both on its way out of {egress.end} and on its way into {ingress.end}."
    if denying:
        way = "out of" if denying[0] is egress else "into"
        return f"{what}: denied on its way {way} {denying[0].end}."
    if egress.verdict == ingress.verdict == "not judged":
        return f"{what}: allowed, as no policy has a say."
    return f"{what}: allowed."


def _pending(answer: queries.Answer) -> str:
    if answer.pending is None or answer.pending == answer.denied:
        return ""
    return f"Once what is staged is enforced, it would be {'denied' if answer.pending else 'allowed'}."
