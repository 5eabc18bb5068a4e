"""Calico's own kinds: NetworkPolicy, GlobalNetworkPolicy and Tier, in compiled form.

How selectors are limited to namespaces follows libcalico-go/lib/backend/syncersv1/updateprocessors and
felix/calc/rule_scanner.go.
"""

from __future__ import annotations

import dataclasses

from model import enums, manifest
from policy import fields, objects, selector

NAMESPACE_PREFIX = "pcns."
"""Labels that an endpoint inherits from its namespace begin with this."""

ACCOUNT_PREFIX = "pcsa."
"""Labels that an endpoint inherits from its service account begin with this."""

ACCOUNT_LABEL = "projectcalico.org/serviceaccount"

_POLICY_FIELDS = (
    "tier", "order", "selector", "serviceAccountSelector", "types", "ingress", "egress", "performanceHints",
)  # fmt: skip
_GLOBAL_FIELDS = (*_POLICY_FIELDS, "namespaceSelector", "applyOnForward", "doNotTrack", "preDNAT")
_EARLY = ("doNotTrack", "preDNAT")
_RULE_FIELDS = (
    "action", "protocol", "notProtocol", "ipVersion", "icmp", "notICMP", "source", "destination", "http",
    "metadata",
)  # fmt: skip
_PEER_FIELDS = (
    "nets", "notNets", "selector", "notSelector", "namespaceSelector", "serviceAccounts", "services", "ports",
    "notPorts",
)  # fmt: skip


_BESIDE_NO_SERVICE = (
    "nets", "notNets", "selector", "notSelector", "namespaceSelector", "serviceAccounts",
)  # fmt: skip


def tier(document: manifest.Document) -> objects.Tier:
    """A Tier; without a default action it denies.

    Raises:
        ManifestError: If it is not a Tier as Calico's API has it.
    """
    _, name = fields.metadata(document, "")
    spec = document.field().get("spec")
    if spec is None:
        return objects.Tier(name=name)
    action = spec.only("order", "defaultAction").get("defaultAction")
    word = action.one_of("Deny", "Pass") if action else "Deny"
    return objects.Tier(
        name=name, order=fields.number(spec.get("order")), default_action=enums.Action(word.lower())
    )


def profile(document: manifest.Document) -> objects.Profile:
    """A Profile.

    Raises:
        ManifestError: If it is not one as Calico's API has it.
    """
    _, name = fields.metadata(document, "")
    spec = document.field().get("spec")
    if spec is None:
        return objects.Profile(name=name)
    spec.only("ingress", "egress", "labelsToApply")
    ingress, egress = (
        tuple(_rule(rule, "", i) for i, rule in enumerate(fields.items(spec.get(way))))
        for way in ("ingress", "egress")
    )
    return objects.Profile(name=name, ingress=ingress, egress=egress)


def network_policy(document: manifest.Document) -> objects.Policy:
    """A NetworkPolicy of Calico's.

    Raises:
        ManifestError: If it is not one as Calico's API has it.
    """
    return _network_policy(document, "np", document.field().require("spec").only(*_POLICY_FIELDS))


def staged_network_policy(document: manifest.Document) -> objects.Policy | None:
    """A StagedNetworkPolicy; None if it is about the end of its namesake.

    Raises:
        ManifestError: If it is not one as Calico's API has it.
    """
    spec = document.field().require("spec").only("stagedAction", *_POLICY_FIELDS)
    policy = _network_policy(document, "snp", spec)
    return policy if fields.is_set(spec) else None


def _network_policy(document: manifest.Document, kind: str, spec: manifest.Field) -> objects.Policy:
    namespace, name = fields.metadata(document, "default")
    subjects = selector.both(
        fields.selector_text(spec.get("selector")), selector.equals(selector.NAMESPACE_LABEL, namespace)
    )
    account = fields.selector_text(spec.get("serviceAccountSelector"))
    if account:
        subjects = selector.both(subjects, selector.prefixed(account, ACCOUNT_PREFIX))
    return _policy(kind, namespace, name, spec, subjects)


def global_network_policy(document: manifest.Document) -> objects.Policy:
    """A GlobalNetworkPolicy.

    Raises:
        ManifestError: If it is not one as Calico's API has it.
    """
    return _global_policy(document, "gnp", document.field().require("spec").only(*_GLOBAL_FIELDS))


def staged_global_network_policy(document: manifest.Document) -> objects.Policy | None:
    """A StagedGlobalNetworkPolicy; None if it is about the end of its namesake.

    Raises:
        ManifestError: If it is not one as Calico's API has it.
    """
    spec = document.field().require("spec").only("stagedAction", *_GLOBAL_FIELDS)
    policy = _global_policy(document, "sgnp", spec)
    return policy if fields.is_set(spec) else None


def _global_policy(document: manifest.Document, kind: str, spec: manifest.Field) -> objects.Policy:
    _, name = fields.metadata(document, "")
    subjects = fields.selector_text(spec.get("selector"))
    # Calico replaces all() in the text that it has put together, the policy's own selector included.
    if namespaces := fields.selector_text(spec.get("namespaceSelector")):
        subjects = selector.both(subjects, selector.prefixed(namespaces, NAMESPACE_PREFIX))
        subjects = _with_label(subjects, selector.NAMESPACE_LABEL)
    if accounts := fields.selector_text(spec.get("serviceAccountSelector")):
        subjects = selector.both(subjects, selector.prefixed(accounts, ACCOUNT_PREFIX))
        subjects = _with_label(subjects, ACCOUNT_LABEL)
    found = _policy(kind, "", name, spec, subjects)
    forward, early = _is(spec, "applyOnForward"), [word for word in _EARLY if _is(spec, word)]
    if len(early) > 1:
        raise spec.error("cannot have both doNotTrack and preDNAT")
    if early and not forward:
        raise spec.error(f"{early[0]} needs applyOnForward")
    if early == ["preDNAT"] and (found.egress or enums.Direction.EGRESS in found.types):
        raise spec.error("preDNAT is for what comes in alone: leave Egress away")
    return dataclasses.replace(found, forward=forward, early=early[0] if early else "")


def _is(spec: manifest.Field, name: str) -> bool:
    written = spec.get(name)
    return written.boolean() if written else False


def _with_label(node: selector.Selector | None, label: str) -> selector.Selector | None:
    """The same claim, where ``all()`` means all that have the label and ``global()`` those without it."""

    def change(leaf: selector.Selector) -> selector.Selector:
        if isinstance(leaf, selector.All):
            return selector.Has(label)
        return selector.Not(selector.Has(label)) if isinstance(leaf, selector.Global) else leaf

    return node.rewrite(change) if node else None


def _policy(
    kind: str, namespace: str, name: str, spec: manifest.Field, subjects: selector.Selector | None
) -> objects.Policy:
    tier_name = spec.get("tier")
    ingress, egress = fields.items(spec.get("ingress")), fields.items(spec.get("egress"))
    fields.items(spec.get("performanceHints"))  # they change no verdict
    return objects.Policy(
        kind=kind, namespace=namespace, name=name, order=fields.number(spec.get("order")),
        tier=tier_name.text() if tier_name else objects.DEFAULT_TIER, subjects=subjects or selector.All(),
        types=_types(spec.get("types"), bool(ingress), bool(egress)),
        ingress=tuple(_rule(rule, namespace, i) for i, rule in enumerate(ingress)),
        egress=tuple(_rule(rule, namespace, i) for i, rule in enumerate(egress)),
    )  # fmt: skip


def _types(field: manifest.Field | None, ingress: bool, egress: bool) -> frozenset[enums.Direction]:
    """The directions written, or else what Calico's API fills in: ingress unless there is only egress."""
    words = [item.one_of("Ingress", "Egress") for item in fields.items(field)]
    if not words:
        words = [*(["Ingress"] if ingress or not egress else []), *(["Egress"] if egress else [])]
    return frozenset(enums.Direction(word.lower()) for word in words)


def _rule(field: manifest.Field, namespace: str, written: int) -> objects.Rule:
    field.only(*_RULE_FIELDS)  # no dataplane of Calico's looks at http
    if annotations := field.get("metadata"):
        annotations.only("annotations")
    version = field.get("ipVersion")
    if version and version.integer(4, 6) == 5:
        raise version.error("must be 4 or 6")
    protocol = fields.protocol(field.get("protocol"))
    return objects.Rule(
        action=objects.RuleAction(field.require("action").one_of("Allow", "Deny", "Pass", "Log").lower()),
        protocol=protocol, not_protocol=fields.protocol(field.get("notProtocol")),
        ip_version=version.integer(4, 6) if version else None, icmp=_icmp(field.get("icmp"), protocol),
        not_icmp=_icmp(field.get("notICMP"), protocol), written=written,
        source=_peer(field.get("source"), namespace, protocol),
        destination=_peer(field.get("destination"), namespace, protocol),
    )  # fmt: skip


def _icmp(field: manifest.Field | None, protocol: int | None) -> objects.Icmp | None:
    if field is None:
        return None
    field.only("type", "code")
    if protocol not in enums.PINGS:
        raise field.error("needs protocol ICMP or ICMPv6")
    code = field.get("code")
    return objects.Icmp(
        type=field.require("type").integer(0, 254), code=code.integer(0, 255) if code else None
    )


def _peer(field: manifest.Field | None, namespace: str, protocol: int | None) -> objects.Peer:
    if field is None:
        return objects.Peer()
    field.only(*_PEER_FIELDS)
    listed, unlisted = field.get("ports"), field.get("notPorts")
    for some in (listed, unlisted):
        if some and some.items() and protocol not in enums.WITH_PORTS:
            raise some.error("ports need protocol TCP, UDP or SCTP")
    ports, names = fields.ports(fields.items(listed))
    not_ports, not_names = fields.ports(fields.items(unlisted))
    members, not_members = _members(field, namespace)
    return objects.Peer(
        members=members, not_members=not_members, ports=ports, port_names=names, not_ports=not_ports,
        not_port_names=not_names, service=_service(field, namespace),
        nets=tuple(fields.network(net) for net in fields.items(field.get("nets"))),
        not_nets=tuple(fields.network(net) for net in fields.items(field.get("notNets"))),
    )  # fmt: skip


def _service(field: manifest.Field, namespace: str) -> tuple[str, str] | None:
    service = field.get("services")
    if service is None:
        return None
    others = (
        _BESIDE_NO_SERVICE if field.path.endswith("source") else (*_BESIDE_NO_SERVICE, "ports", "notPorts")
    )
    for name in others:
        if (other := field.get(name)) and other.value:
            raise other.error("cannot stand beside services")
    of = service.only("name", "namespace").get("namespace")
    if of is None and not namespace:
        raise service.error("needs a namespace, in a policy of no namespace")
    return of.text() if of else namespace, service.require("name").text()


def _members(
    field: manifest.Field, namespace: str
) -> tuple[selector.Selector | None, selector.Selector | None]:
    """Whom the selectors of a peer match, and whom not if nothing positive is said.

    As soon as any of them is used, a namespaced policy speaks about its own namespace alone, unless a
    namespace selector says about which.
    """
    written = fields.selector_text(field.get("namespaceSelector"))
    unwanted = fields.selector_text(field.get("notSelector"))
    wanted = selector.both(
        _accounts(field.get("serviceAccounts")), fields.selector_text(field.get("selector"))
    )
    scope = scoped(namespace, written)
    members = selector.both(scope, wanted) if written or wanted or unwanted else None
    if members and unwanted:
        return selector.And((members, selector.negate(unwanted))), None
    return members, unwanted


def scoped(namespace: str, namespaces: selector.Selector | None) -> selector.Selector | None:
    """The namespaces that a peer may be in: those selected, or else the policy's own if it has one."""
    if namespaces:
        return _with_label(selector.prefixed(namespaces, NAMESPACE_PREFIX), selector.NAMESPACE_LABEL)
    return selector.equals(selector.NAMESPACE_LABEL, namespace) if namespace else None


def _accounts(field: manifest.Field | None) -> selector.Selector | None:
    if field is None:
        return None
    field.only("names", "selector")
    labels = fields.selector_text(field.get("selector"))
    names = tuple(sorted({name.text() for name in fields.items(field.get("names"))}))
    return selector.both(
        selector.prefixed(labels, ACCOUNT_PREFIX) if labels else None,
        selector.Member(ACCOUNT_LABEL, names) if names else None,
    )
