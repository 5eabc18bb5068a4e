"""The smallest change of a policy by which a connection would be allowed."""

from __future__ import annotations

import copy
import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model import enums, manifest, policyhit
from policy import calico, evaluate, explanation, objects, parse, queries, reasons, stable, subjects

Body = dict[str, Any]

_INGRESS = enums.Direction.INGRESS
_OF_CALICO = ("np", "gnp")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_NAMESPACE_NAME = "kubernetes.io/metadata.name"


@dataclasses.dataclass(frozen=True, slots=True)
class Edit:
    """A change of one policy, or a new one.

    Attributes:
        sentence: What it does.
        body: The whole manifest.
        diff: As ``diff -u`` would show it.
    """

    sentence: str
    body: Body
    diff: str


class Editor:
    """Finds changes, and makes sure that they do what they should.

    Args:
        engine: The policies as they are.
        documents: Their manifests, all of them.
    """

    def __init__(self, engine: evaluate.Engine, documents: Sequence[manifest.Document]) -> None:
        self._engine, self._documents = engine, documents
        self._of = by_identity(documents)

    def edit(self, told: explanation.Explanation, side: explanation.Side) -> Edit | None:
        """The smallest change by which a side that denies a connection would allow it; None without any."""
        for sentence, body in self._candidates(told, side):
            before = self._body(body)
            if self._allows(told.query, side.direction, body):
                return Edit(sentence, body, diff(before, body))
        return None

    def _candidates(
        self, told: explanation.Explanation, side: explanation.Side
    ) -> Iterator[tuple[str, Body]]:
        last = side.trace[-1]
        if last.kind in (policyhit.PROFILE, policyhit.NO_PROFILE):
            return
        if last.kind != policyhit.END_OF_TIER:
            yield from self._before(last, told.asked, side)
            return
        widened = list(self._widened(side.nearest, told.asked, side)) if side.nearest else []
        if side.nearest and _is_about_pods(side.nearest, side.rule_direction):
            yield from widened
            widened = []
        yield from self._added(told.asked, side, last.tier)
        yield from widened

    def _before(
        self, last: policyhit.PolicyHit, asked: reasons.Connection, side: explanation.Side
    ) -> Iterator[tuple[str, Body]]:
        """A rule in front of the one that denies it; for this pod alone, where that can be said."""
        policy = next(one for one in side.selecting if _is(one, last))
        rule = _rule(policy, asked, side.rule_direction)
        if rule is None or policy.kind == "knp" or policy.identity not in self._of:
            return
        written = policy.rules(side.rule_direction)[last.rule].written
        place = f"the {explanation.ordinal(written)} {side.rule_direction} rule of {explanation.name(policy)}"
        pods, near = self._count(policy), _near(asked, side)
        alone = _alone(policy, rule, near, side.rule_direction) if pods > 1 else None
        by_itself = f" {'to' if side.rule_direction is _INGRESS else 'from'} {near.name}"
        together = f", for all {self._whom(policy)} that it selects" if pods > 1 else ""
        for one, whom in ((alone, by_itself), (rule, together)):
            body = self._copy(policy)
            if one and body:
                body["spec"][str(side.rule_direction)].insert(written, one)
                yield f"Put a rule in front of {place} that allows {_what(asked, side)}{whom}.", body

    def _widened(
        self, nearest: explanation.Nearest, asked: reasons.Connection, side: explanation.Side
    ) -> Iterator[tuple[str, Body]]:
        """The nearest rule with one more port, or with one more peer."""
        policy, parts = nearest.policy, {one.part for one in nearest.reasons}
        body = self._copy(policy)
        if body is None:
            return
        written = policy.rules(side.rule_direction)[nearest.index].written
        rule = body["spec"][str(side.rule_direction)][written]
        place = f"the {explanation.ordinal(written)} {side.rule_direction} rule of {explanation.name(policy)}"
        peers = "from" if side.rule_direction is _INGRESS else "to"
        far = reasons.Part.SOURCE if side.rule_direction is _INGRESS else reasons.Part.DESTINATION
        port = f"{enums.protocol_name(asked.protocol)} port {asked.port}"
        if parts <= {reasons.Part.PORT, reasons.Part.PROTOCOL} and _add_port(policy, rule, asked):
            yield f"Add {port} to {place}, for all of its peers.", body
        elif parts == {far} and policy.kind == "knp" and peers in rule:
            rule[peers] = [*rule[peers], _kubernetes_peer(_far(asked, side), policy.namespace)]
            yield f"Add {_named(_far(asked, side))} to {place}, for all of its ports.", body

    def _added(
        self, asked: reasons.Connection, side: explanation.Side, tier: str
    ) -> Iterator[tuple[str, Body]]:
        """One more rule, in the policy of the tier that selects the fewest pods."""
        mine = [one for one in side.selecting if one.tier == tier and one.kind in ("knp", *_OF_CALICO)]
        counts = {one.identity: self._count(one) for one in mine}
        for policy in sorted(mine, key=lambda one: (counts[one.identity], not one.namespace, one.identity)):
            rule, body = _rule(policy, asked, side.rule_direction), self._copy(policy)
            if rule is not None and body is not None:
                rules = body["spec"].get(str(side.rule_direction)) or []
                body["spec"][str(side.rule_direction)] = [*rules, rule]
                where = f"to {explanation.name(policy)}, which selects {self._whom(policy)}"
                alone = "ports" in rule or policy.kind != "knp"
                more = "" if alone else ", with all other protocols: it cannot say this one alone"
                yield f"Add a rule {where}, that allows {_what(asked, side)}{more}.", body

    def _count(self, policy: objects.Policy) -> int:
        """How many pods and host endpoints a policy selects."""
        return sum(self._counts(policy))

    def _counts(self, policy: objects.Policy) -> tuple[int, int]:
        world = self._engine.world
        matched = world.labels.matching(policy.subjects)
        pods = matched[world.labels.codes[: len(world.pods)]]
        return int(pods.sum()), int(matched[world.host_labels].sum())

    def _whom(self, policy: objects.Policy) -> str:
        """Whom a policy selects, in numbers."""
        pods, hosts = self._counts(policy)
        parts = [(pods, "pod")] if pods or not hosts else []
        parts += [(hosts, "host endpoint")] if hosts else []
        return " and ".join(f"{count} {word}{'s' if count != 1 else ''}" for count, word in parts)

    def _copy(self, policy: objects.Policy) -> Body | None:
        document = self._of.get(policy.identity)
        return copy.deepcopy(plain(document.body)) if document else None

    def _body(self, body: Body) -> Body:
        """What a manifest was before."""
        return next(
            (
                plain(one.body) for one in self._documents
                if one.body.get("kind") == body["kind"] and _place(one.body) == _place(body)
                and one.body.get("apiVersion") == body["apiVersion"]
            ), {},
        )  # fmt: skip

    def _allows(self, query: queries.Query, direction: enums.Direction, body: Body) -> bool:
        changed = [
            dataclasses.replace(one, body=body) if plain(one.body) == self._body(body) else one
            for one in self._documents
        ]
        engine = evaluate.Engine(parse.parse(changed), self._engine.cluster)
        (answer,) = queries.Asker(engine).ask([query])
        said = answer.into if direction is _INGRESS else answer.out
        return bool(said) and not any(one.denied for one in said)


def without(document: manifest.Document, direction: enums.Direction, written: int) -> Body:
    """The manifest of a policy without one of its rules."""
    body = copy.deepcopy(plain(document.body))
    rules = body["spec"][str(direction)]
    body["spec"][str(direction)] = [rule for i, rule in enumerate(rules) if i != written]
    return body


def by_identity(documents: Sequence[manifest.Document]) -> Mapping[str, manifest.Document]:
    """The manifest of each policy, by the policy's identity."""
    found = {}
    for document in documents:
        for policy in parse.parse([document]).everything():
            found[policy.identity] = document
    return found


def plain(body: Mapping[str, Any]) -> Body:
    """A manifest without what only the API server and ``kubectl`` write."""
    kept = ("name", "namespace", "labels", "annotations")
    metadata = {name: body["metadata"][name] for name in kept if name in body["metadata"]}
    if "annotations" in metadata:
        told = dict(metadata.pop("annotations") or {})
        told.pop(_LAST_APPLIED, None)
        metadata |= {"annotations": told} if told else {}
    rest = {name: value for name, value in body.items() if name not in ("metadata", "status")}
    return {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": metadata, **rest}


def _place(body: Mapping[str, Any]) -> tuple[str, str]:
    return body["metadata"].get("namespace", ""), body["metadata"]["name"]


def _is_about_pods(nearest: explanation.Nearest, direction: enums.Direction) -> bool:
    """Whether all peers of a rule are pods that it selects: what it allows one more of stays among these."""
    rules = nearest.policy.rules(direction)
    mine = [one for one in rules if one.written == rules[nearest.index].written]
    peers = [one.source if direction is _INGRESS else one.destination for one in mine]
    return all(one.members is not None and not one.nets for one in peers)


def _is(policy: objects.Policy, hit: policyhit.PolicyHit) -> bool:
    return (policy.kind, policy.namespace, policy.name) == (hit.kind, hit.namespace, hit.name)


def _far(asked: reasons.Connection, side: explanation.Side) -> reasons.End:
    return asked.source if side.rule_direction is _INGRESS else asked.destination


def _near(asked: reasons.Connection, side: explanation.Side) -> reasons.End:
    return asked.destination if side.rule_direction is _INGRESS else asked.source


def _alone(policy: objects.Policy, rule: Body, near: reasons.End, direction: enums.Direction) -> Body | None:
    """A rule of Calico's for one of the workloads that the policy selects; None if that cannot be said."""
    if policy.kind not in _OF_CALICO or near.pod is None or not _own_labels(near.pod):
        return None
    end = "destination" if direction is _INGRESS else "source"
    return {**rule, end: {**_calico_peer(near), **rule.get(end, {})}}


def _named(end: reasons.End) -> str:
    """An end, with all others that a rule about it lets through too."""
    if end.pod is None:
        text = str(end.address)
        return end.name if end.name == text else f"{end.name} by its address, {text}"
    if _own_labels(end.pod):
        return end.name
    return f"{end.name}, and with it every pod of its namespace, since it has no labels of its own"


def _what(asked: reasons.Connection, side: explanation.Side) -> str:
    way = "from" if side.rule_direction is _INGRESS else "to"
    port = f" port {asked.port}" if asked.port else ""
    return f"{enums.protocol_name(asked.protocol)}{port} {way} {_named(_far(asked, side))}"


def _own_labels(pod: subjects.Endpoint) -> dict[str, str]:
    """The labels by which people would name a pod's workload."""
    inherited = (calico.NAMESPACE_PREFIX, calico.ACCOUNT_PREFIX, "projectcalico.org/")
    return {
        label: value for label, value in sorted(pod.labels.items())
        if not label.startswith((*inherited, *stable.MADE_UP))
    }  # fmt: skip


def _kubernetes_peer(end: reasons.End, namespace: str) -> Body:
    if end.pod is None:
        return {"ipBlock": {"cidr": f"{end.address}/{end.address.max_prefixlen}"}}
    found: Body = {}
    if end.pod.namespace != namespace:
        found["namespaceSelector"] = {"matchLabels": {_NAMESPACE_NAME: end.pod.namespace}}
    return {**found, "podSelector": {"matchLabels": _own_labels(end.pod)}}


def _calico_peer(end: reasons.End) -> Body:
    if end.pod is None:
        return {"nets": [f"{end.address}/{end.address.max_prefixlen}"]}
    claims = [f"{label} == '{value}'" for label, value in _own_labels(end.pod).items()]
    return {
        "namespaceSelector": f"projectcalico.org/name == '{end.pod.namespace}'",
        "selector": " && ".join(claims) or "all()",
    }


def _admin_peer(end: reasons.End) -> Body:
    if end.pod is None:
        return {"networks": [f"{end.address}/{end.address.max_prefixlen}"]}
    namespaces = {"matchLabels": {_NAMESPACE_NAME: end.pod.namespace}}
    return {"pods": {"namespaceSelector": namespaces, "podSelector": {"matchLabels": _own_labels(end.pod)}}}


def _rule(policy: objects.Policy, asked: reasons.Connection, direction: enums.Direction) -> Body | None:
    """A rule in a policy's own language that allows exactly this; None if it cannot be said in it."""
    ingress = direction is _INGRESS
    end = asked.source if ingress else asked.destination
    protocol = enums.protocol_name(asked.protocol)
    transport = asked.protocol in (enums.Protocol.TCP, enums.Protocol.UDP, enums.Protocol.SCTP)
    peers = "from" if ingress else "to"
    if policy.kind in _OF_CALICO:
        rule: Body = {"action": "Allow", "protocol": int(protocol) if protocol.isdecimal() else protocol}
        rule["source" if ingress else "destination"] = _calico_peer(end)
        if transport:
            rule.setdefault("destination", {})["ports"] = [asked.port]
        return rule
    if policy.kind == "knp":
        # in which ICMP is part of a rule without ports, and cannot be said by itself
        ports = {"ports": [{"protocol": protocol, "port": asked.port}]} if transport else {}
        return {peers: [_kubernetes_peer(end, policy.namespace)], **ports}
    if not transport or (ingress and end.pod is None):
        return None
    if policy.kind == "kcnp":
        ports = {"protocols": [{protocol.lower(): {"destinationPort": {"number": asked.port}}}]}
        return {"action": "Accept", peers: [_admin_peer(end)], **ports}
    ports = {"ports": [{"portNumber": {"protocol": protocol, "port": asked.port}}]}
    return {"action": "Allow", peers: [_admin_peer(end)], **ports}


def _add_port(policy: objects.Policy, rule: Body, asked: reasons.Connection) -> bool:
    """Add a port to a rule of a manifest, if that can be said there."""
    protocol = enums.protocol_name(asked.protocol)
    if policy.kind == "knp" and asked.port:
        rule["ports"] = [*rule.get("ports", []), {"protocol": protocol, "port": asked.port}]
        return True
    ports = rule.get("destination", {}).get("ports")
    if policy.kind in _OF_CALICO and ports and str(rule.get("protocol", "")).upper() == protocol:
        rule["destination"]["ports"] = [*ports, asked.port]
        return True
    return False


def diff(before: Body | None, after: Body | None) -> str:
    """How ``diff -u`` would show a change; None for a manifest that is not there."""
    there = after or before or {}
    name = "/".join(filter(None, (there["kind"], *_place(there))))
    old, new = (manifest.text(body).splitlines() if body else [] for body in (before, after))
    names = (f"a/{name}" if before else "/dev/null", f"b/{name}" if after else "/dev/null")
    return "\n".join(difflib.unified_diff(old, new, *names, lineterm="", n=2))
