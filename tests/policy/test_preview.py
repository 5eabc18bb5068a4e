"""What a change would newly deny and allow, of all that was seen."""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import records
import worlds

from model import cluster, enums, errors, manifest
from policy import preview, record, world

SEEDS = st.integers(0, 10**9)
Body = dict[str, Any]
NETS = (
    "10.65.0.0/16",
    "10.65.128.0/17",
    "fd00:65::/64",
    "203.0.113.0/24",
    "0.0.0.0/0",
    "::/0",
    "192.0.2.0/24",
)
HOLES = (("10.65.0.0/16", "10.65.128.0/17"), ("0.0.0.0/0", "203.0.113.8/30"), ("::/0", "2001:db8:1::/64"))
AROUND = cluster.Cluster()


def _documents(*bodies: Body) -> list[manifest.Document]:
    return [manifest.Document("f", i, body) for i, body in enumerate(bodies, 1)]


class Change:
    """A random record, random policies, and others."""

    def __init__(self, seed: int) -> None:
        seen = records.Maker(seed)
        self.seen = seen.record()
        maker = worlds.Maker(seed + 1, NETS, HOLES)
        around = [*seen.documents, *_documents(*maker.sets(), *maker.hosts())]
        policies = [one for one in _documents(*maker.policies()) if not one.kind.startswith("Staged")]
        kept = [one for one in policies if maker.maybe(0.6)]
        other = [one for one in _documents(*maker.policies()) if not one.kind.startswith("Staged")]
        self.before = [*around, *policies]
        self.after = preview.changed([*around, *kept], other)
        self.found = preview.preview(self.seen, AROUND, self.before, self.after)


def _edges(some: Sequence[preview.Difference]) -> list[int]:
    return sorted(edge for one in some for edge in one.edges)


@given(SEEDS)
def test_no_change_does_nothing(seed: int) -> None:
    of = Change(seed)
    same = preview.changed(of.after, [one for one in of.after[::-1] if one.kind != "Namespace"])
    found = preview.preview(of.seen, AROUND, of.after, same)
    assert (found.denied, found.allowed, found.uncertain) == ((), (), 0)
    assert (found.edges, found.connections) == (len(of.seen), of.seen.connections.sum())


@given(SEEDS)
def test_way_back_is_the_way_there(seed: int) -> None:
    """What a change newly denies, its inverse newly allows."""
    of = Change(seed)
    back = preview.preview(of.seen, AROUND, of.after, of.before)
    assert _edges(back.allowed) == _edges(of.found.denied)
    assert _edges(back.denied) == _edges(of.found.allowed)
    assert back.uncertain == of.found.uncertain


@given(SEEDS)
def test_two_steps_make_one(seed: int) -> None:
    """Where families are known; by no policies at all, which deny nothing."""
    of = Change(seed)
    none = [one for one in of.before if one.kind not in ("NetworkPolicy", "GlobalNetworkPolicy")
            and not one.kind.endswith(("AdminNetworkPolicy", "ClusterNetworkPolicy"))]  # fmt: skip
    to_before, to_after = (preview.preview(of.seen, AROUND, none, one) for one in (of.before, of.after))
    if to_before.uncertain or to_after.uncertain:
        return
    before, after = set(_edges(to_before.denied)), set(_edges(to_after.denied))
    # with nothing but profiles of hosts there, some were denied before
    assert set(_edges(of.found.denied)) - set(_edges(to_before.allowed)) == after - before
    assert set(_edges(of.found.allowed)) - set(_edges(to_after.allowed)) == before - after


@given(SEEDS)
def test_differences_are_summed_up(seed: int) -> None:
    of = Change(seed)
    for some in (of.found.denied, of.found.allowed):
        edges = _edges(some)
        assert len(set(edges)) == len(edges)
        assert [-one.connections for one in some] == sorted(-one.connections for one in some)
        for one in some:
            rows = np.array(one.edges)
            assert {of.seen.name(end) for end in of.seen.src[rows].tolist()} == {one.src}
            assert {of.seen.name(end) for end in of.seen.dst[rows].tolist()} == {one.dst}
            assert {*of.seen.protocol[rows].tolist()} == {one.protocol}
            assert one.connections == of.seen.connections[rows].sum() == sum(one.verdicts.values())
            assert (one.first, one.last) == (of.seen.first[rows].min(), of.seen.last[rows].max())
    denying = [one.decider.action for one in of.found.denied if one.decider]
    assert len(denying) == len(of.found.denied)
    if not of.found.uncertain:
        assert set(denying) <= {enums.Action.DENY}
        assert {one.decider.action for one in of.found.allowed if one.decider} <= {enums.Action.ALLOW}


# Single cases: pods of the shop, each of its own Deployment, that talk to one another

TCP, ICMP = int(enums.Protocol.TCP), int(enums.Protocol.ICMP)
PODS = {
    "web": ("10.9.0.1", "2001:db8::1"), "cart": ("10.9.0.2", "2001:db8::2"), "till": ("10.9.1.1",),
    "job": ("10.9.1.2",),
}  # fmt: skip
OUTSIDE = {
    "203.0.113.9": ("public", ""), "172.31.0.1": ("node", "n1"), "192.0.2.7": ("network_set", "partners"),
    "2001:db8:1::9": ("public", ""),
}  # fmt: skip
ENDS = {name: i for i, name in enumerate(PODS)} | {name: -1 - i for i, name in enumerate(OUTSIDE)}
SHOP: Body = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "shop", "labels": {"team": "red"}},
}
BLUE: Body = {**SHOP, "metadata": {"name": "shop", "labels": {"team": "blue"}}}
PARTNERS: Body = {
    "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkSet",
    "metadata": {"name": "partners", "labels": {"partner": "yes"}}, "spec": {"nets": ["192.0.2.0/24"]},
}  # fmt: skip
TIER: Body = {
    "apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": "sec"},
    "spec": {"order": 1, "defaultAction": "Pass"},
}  # fmt: skip


def _seen(*edges: str, **more: Sequence[int]) -> record.Record:
    """A record of ``web > cart``, with another family than nobody's as in ``web > cart 6``."""
    told = [edge.split() for edge in edges]
    src, dst = (np.array([ENDS[words[at]] for words in told], np.int32) for at in (0, 2))
    zero = np.zeros(len(edges), np.int64)
    columns: dict[str, Any] = {
        "protocol": zero + TCP, "port": zero + 80, "icmp_type": zero, "icmp_code": zero,
        "family": [int(words[3]) if words[3:] else 0 for words in told], "connections": zero + 1,
        "forward_packets": zero, "reverse_packets": zero, "bytes": zero, "first": zero + 1, "last": zero + 2,
    } | more  # fmt: skip
    return record.Record(
        variants=tuple(
            record.Variant(
                workload=record.Workload("shop", "Deployment", name), labels_id=i, labels={"app": name},
                addresses=addresses,
            ) for i, (name, addresses) in enumerate(PODS.items())
        ),
        packed=world.pack(OUTSIDE), kinds=tuple(kind for kind, _ in OUTSIDE.values()),
        names=tuple(name for _, name in OUTSIDE.values()), namespaces=("",) * len(OUTSIDE), src=src, dst=dst,
        verdict=np.array(["allowed"] * len(edges), object), attribution=np.array([""] * len(edges), object),
        starts=np.zeros(len(edges) + 1, np.int64), hours=np.zeros(0, np.uint32),
        **{name: np.array(column) for name, column in columns.items()},
    )  # fmt: skip


def _calico(kind: str, name: str, namespace: str = "", **spec: Any) -> Body:
    place = {"namespace": namespace} if namespace else {}
    return {
        "apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": {"name": name, **place}, "spec": spec
    }  # fmt: skip


def _allow(**source: Any) -> list[Body]:
    return [{"action": "Allow", "source": source}]


def _kubernetes(name: str, namespace: str = "shop", **spec: Any) -> Body:
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace}, "spec": {"podSelector": {}, **spec},
    }  # fmt: skip


def _said(some: Sequence[preview.Difference]) -> list[str]:
    return [f"{one.src} > {one.dst}" for one in some]


def _short(names: Sequence[str]) -> list[str]:
    return [name.replace("shop/", "").replace("partners (192.0.2.7)", "partners") for name in names]


ADMIN: Body = {
    "apiVersion": "policy.networking.k8s.io/v1alpha1", "kind": "AdminNetworkPolicy",
    "metadata": {"name": "a"},
    "spec": {"priority": 1, "subject": {"pods": {
        "namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "cart"}}}},
        "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}]},
}  # fmt: skip
CLUSTER: Body = {
    "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
    "metadata": {"name": "c"},
    "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}},
             "egress": [{"action": "Deny", "to": [{"networks": ["203.0.113.0/24"]}]}]},
}  # fmt: skip
BASELINE: Body = {
    "apiVersion": "policy.networking.k8s.io/v1alpha1", "kind": "BaselineAdminNetworkPolicy",
    "metadata": {"name": "default"},
    "spec": {"subject": {"namespaces": {}}, "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}]},
}  # fmt: skip
ALL = ("web > cart", "web > web", "172.31.0.1 > cart 4", "cart > 192.0.2.7 4", "cart > 203.0.113.9 4",
       "203.0.113.9 > web 4", "2001:db8:1::9 > web 6")  # fmt: skip


@pytest.mark.parametrize(
    ("body", "denied"),
    [
        (_kubernetes("k", podSelector={"matchLabels": {"app": "web"}}),
         ["203.0.113.9 > web", "2001:db8:1::9 > web", "web > web"]),
        (_kubernetes("k", ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}]),
         ["203.0.113.9 > web", "2001:db8:1::9 > web", "n1 (172.31.0.1) > cart"]),
        (_calico("NetworkPolicy", "c", "shop", selector="app == 'cart'",
                 ingress=_allow(nets=["172.31.0.0/24"])), ["web > cart"]),
        (_calico("GlobalNetworkPolicy", "g", selector="app == 'cart'", types=["Egress"], egress=[
            {"action": "Allow", "destination": {"selector": "partner == 'yes'"}}]),
         ["cart > 203.0.113.9"]),
        (_calico("StagedNetworkPolicy", "s", "shop", selector="app == 'cart'"),
         ["n1 (172.31.0.1) > cart", "web > cart"]),
        (_calico("StagedGlobalNetworkPolicy", "s", ingress=[{"action": "Allow", "ipVersion": 4}],
                 types=["Ingress"], selector="app == 'web'"), ["2001:db8:1::9 > web", "web > web"]),
        ({**_kubernetes("k", podSelector={"matchLabels": {"app": "cart"}}, policyTypes=["Egress"]),
          "apiVersion": "projectcalico.org/v3", "kind": "StagedKubernetesNetworkPolicy"},
         ["cart > 203.0.113.9", "cart > partners"]),
        (ADMIN, ["web > cart"]), (CLUSTER, ["cart > 203.0.113.9"]), (BASELINE, ["web > cart", "web > web"]),
        (_calico("GlobalNetworkPolicy", "h", selector="has(host)", types=["Egress"], egress=[]),
         ["n1 (172.31.0.1) > cart"]),
    ],
    ids=["Kubernetes", "Kubernetes, by pods", "Calico", "Calico, global", "staged", "staged, global",
         "staged, Kubernetes", "administrators", "cluster", "baseline", "host endpoint"],
)  # fmt: skip
def test_policy_of_each_kind_and_its_deletion(body: Body, denied: list[str]) -> None:
    host = _calico("HostEndpoint", "h", node="n1", interfaceName="*",
                   profiles=["projectcalico-default-allow"], expectedIPs=["172.31.0.1"])  # fmt: skip
    host["metadata"]["labels"] = {"host": "yes"}
    before = _documents(SHOP, PARTNERS, host)
    after = preview.changed(before, _documents(body))
    seen = _seen(*ALL)
    found = preview.preview(seen, AROUND, before, after)
    assert (sorted(_short(_said(found.denied))), found.allowed) == (sorted(denied), ())
    if not body["kind"].startswith("Staged"):  # a staged one that is there is not enforced
        back = preview.preview(seen, AROUND, after, before)
        assert (sorted(_short(_said(back.allowed))), back.denied) == (sorted(denied), ())


def test_staged_policy_is_enforced_if_the_change_is_about_it() -> None:
    staged = _calico("StagedNetworkPolicy", "s", "shop", selector="app == 'cart'")
    other = _calico("NetworkPolicy", "o", "shop", selector="app == 'web'", ingress=_allow())
    seen, before = _seen("web > cart"), _documents(SHOP, staged)
    after = preview.changed(before, _documents(other))
    assert not preview.preview(seen, AROUND, before, after).denied
    named = [preview.identity(one) for one in _documents(staged)]
    assert _short(_said(preview.preview(seen, AROUND, before, after, named).denied)) == ["web > cart"]
    changed = preview.changed(before, _documents({**staged, "spec": {"selector": "all()"}}))
    assert _short(_said(preview.preview(seen, AROUND, before, changed).denied)) == ["web > cart"]
    gone = preview.changed(before, [], named)
    assert not preview.preview(seen, AROUND, before, gone, named).allowed


@pytest.mark.parametrize(
    ("staged", "denied", "allowed"),
    [
        ({"stagedAction": "Set", "ingress": _allow(selector="app == 'web'")}, ["till > cart"], []),
        ({"ingress": _allow()}, [], ["job > cart"]),
        ({"stagedAction": "Delete"}, [], ["job > cart"]),
    ],
    ids=["narrower", "wider", "gone"],
)
def test_staged_policy_takes_the_place_of_its_namesake(
    staged: Body, denied: list[str], allowed: list[str]
) -> None:
    there = _calico("NetworkPolicy", "p", "shop", selector="app == 'cart'", ingress=_allow(
        selector="app in {'web', 'till'}"))  # fmt: skip
    before = _documents(SHOP, there)
    body = _calico("StagedNetworkPolicy", "p", "shop", **{"selector": "app == 'cart'", **staged})
    seen = _seen("web > cart", "till > cart", "job > cart")
    found = preview.preview(seen, AROUND, before, preview.changed(before, _documents(body)))
    assert (_short(_said(found.denied)), _short(_said(found.allowed))) == (denied, allowed)


BY_TEAM = _calico(
    "GlobalNetworkPolicy",
    "g",
    namespaceSelector="team == 'red'",
    types=["Ingress"],
    ingress=[{"action": "Deny"}],
)
TIERED = _calico("GlobalNetworkPolicy", "sec.t", tier="sec", selector="app == 'cart'", types=["Ingress"])
TO_PARTNERS = _calico("GlobalNetworkPolicy", "p", selector="app == 'cart'", types=["Egress"], egress=[
    {"action": "Allow", "destination": {"selector": "partner == 'yes'"}}])  # fmt: skip


@pytest.mark.parametrize(
    ("before", "changed", "denied", "allowed"),
    [
        ([SHOP, BY_TEAM], BLUE, [], ["web > cart"]),
        ([SHOP, TIER, TIERED], {**TIER, "spec": {"order": 1, "defaultAction": "Deny"}}, ["web > cart"], []),
        ([SHOP, PARTNERS, TO_PARTNERS], {**PARTNERS, "spec": {"nets": ["198.51.100.0/24"]}},
         ["cart > partners"], []),
        ([SHOP, PARTNERS, TO_PARTNERS],
         {**PARTNERS, "metadata": {"name": "partners", "labels": {"partner": "no"}}},
         ["cart > partners"], []),
    ],
    ids=["label of a namespace", "default action of a tier", "networks of a set", "label of a set"],
)  # fmt: skip
def test_what_policies_speak_of_may_change(
    before: list[Body], changed: Body, denied: list[str], allowed: list[str]
) -> None:
    documents = _documents(*before)
    found = preview.preview(
        _seen("web > cart", "cart > 192.0.2.7 4"), AROUND, documents,
        preview.changed(documents, _documents(changed)),
    )  # fmt: skip
    assert (_short(_said(found.denied)), _short(_said(found.allowed))) == (denied, allowed)


@pytest.mark.parametrize(
    ("before", "after", "denied", "allowed", "uncertain"),
    [
        ([], [4], 1, 0, 1), ([4], [], 0, 1, 1), ([4], [6], 1, 1, 1), ([6], [4, 6], 0, 1, 1),
        ([4, 6], [], 0, 0, 0),
    ],
    ids=["one is closed", "one is opened", "one for the other", "the other too", "neither"],
)  # fmt: skip
def test_family_that_nobody_knows_is_uncertain(
    before: list[int], after: list[int], denied: int, allowed: int, uncertain: int
) -> None:
    """The policies let in what is of these families; no policy lets in both."""

    def policies(families: list[int]) -> list[manifest.Document]:
        rules = [{"action": "Allow", "ipVersion": family} for family in families]
        one = _calico("NetworkPolicy", "c", "shop", selector="app == 'cart'", ingress=rules)
        return _documents(SHOP, *([one] if families else []))

    found = preview.preview(_seen("web > cart"), AROUND, policies(before), policies(after))
    assert (len(found.denied), len(found.allowed), found.uncertain) == (denied, allowed, uncertain)
    told = preview.preview(_seen("web > cart 4", "web > cart 6"), AROUND, policies(before), policies(after))
    assert told.uncertain == 0
    assert (len(_edges(told.denied)), len(_edges(told.allowed))) == (denied, allowed)


def test_edges_of_one_pair_and_port_are_one_difference() -> None:
    """With its counts, and the rule that would decide."""
    seen = _seen(
        "web > cart 4", "web > cart 6", "web > cart 4", "web > cart 4", protocol=[TCP, TCP, TCP, ICMP],
        port=[80, 80, 81, 0], icmp_type=[0, 0, 0, 8], connections=[3, 0, 5, 1], first=[9, 4, 1, 1],
        last=[10, 20, 2, 2],
    )  # fmt: skip
    seen = record.Record(
        **{name: getattr(seen, name) for name in seen.__dataclass_fields__ if name != "verdict"},
        verdict=np.array(["allowed", "unknown", "denied", "allowed"], object),
    )
    before = _documents(SHOP)
    deny = _calico("GlobalNetworkPolicy", "g", selector="app == 'web'", egress=[{"action": "Deny"}])
    found = preview.preview(seen, AROUND, before, preview.changed(before, _documents(deny)))
    assert [(one.protocol, one.port, one.icmp_type, one.connections) for one in found.denied] == [
        (TCP, 81, 0, 5), (TCP, 80, 0, 3), (ICMP, 0, 8, 1),
    ]  # fmt: skip
    both = found.denied[1]
    assert (both.edges, both.first, both.last) == ((0, 1), 4, 20)
    assert both.verdicts == {"allowed": 3, "unknown": 0}
    hit = both.decider
    assert hit is not None
    assert (hit.name, hit.rule, hit.action, both.direction) == (
        "g",
        0,
        enums.Action.DENY,
        enums.Direction.EGRESS,
    )
    assert (found.edges, found.connections) == (4, 9)


@pytest.mark.parametrize(
    ("spec", "direction"),
    [
        ({"selector": "app == 'cart'"}, enums.Direction.INGRESS),
        ({"selector": "app == 'web'", "types": ["Egress"]}, enums.Direction.EGRESS),
        ({"types": ["Ingress", "Egress"]}, enums.Direction.EGRESS),
    ],
    ids=["destination", "source", "both"],
)  # fmt: skip
def test_end_whose_policies_deny_it_first_decides(spec: Body, direction: enums.Direction) -> None:
    before = _documents(SHOP)
    after = preview.changed(before, _documents(_calico("GlobalNetworkPolicy", "g", **spec)))
    (found,) = preview.preview(_seen("web > cart"), AROUND, before, after).denied
    assert found.direction is direction
    assert found.decider is not None
    assert found.decider.direction is direction


def test_connection_of_strangers_is_decided_by_nobody() -> None:
    found = preview.preview(
        _seen("203.0.113.9 > 172.31.0.1 4"), cluster.Cluster(),
        _documents(
            _calico("HostEndpoint", "h", node="n1", interfaceName="eth0", expectedIPs=["172.31.0.1"])
        ), [],
    )  # fmt: skip
    (opened,) = found.allowed
    assert (opened.decider, opened.direction) == (None, None)


def test_empty_record_has_no_differences() -> None:
    before = _documents(SHOP)
    after = preview.changed(before, _documents(_kubernetes("k")))
    assert preview.preview(_seen(), AROUND, before, after) == preview.Preview((), (), 0, 0, 0)


# What is changed

STORED = {**_calico("NetworkPolicy", "p", "shop", selector="all()"), "apiVersion": "crd.projectcalico.org/v1"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (STORED, _calico("NetworkPolicy", "p", "shop"), True),
        (STORED, _kubernetes("p"), False), (STORED, _calico("NetworkPolicy", "p", "bank"), False),
        (STORED, _calico("StagedNetworkPolicy", "p", "shop"), False),
        (_calico("NetworkPolicy", "p"), _calico("NetworkPolicy", "p", "default"), True),
        (_calico("GlobalNetworkPolicy", "p"), _calico("GlobalNetworkPolicy", "p", "shop"), True),
        (SHOP, {**SHOP, "metadata": {"name": "shop", "namespace": "default"}}, True),
        (_calico("NetworkSet", "p"), _calico("GlobalNetworkSet", "p"), False),
        ({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}, STORED, False),
    ],
    ids=["stored and served", "Kubernetes'", "another namespace", "staged", "no namespace",
         "namespace of a global one", "namespace of a namespace", "set and global set", "without a name"],
)  # fmt: skip
def test_object_is_known_by_what_it_is(one: Body, other: Body, same: bool) -> None:
    there = _documents(one)
    changed = preview.changed(there, _documents(other))
    assert [item.body for item in changed] == ([other] if same else [one, other])
    assert (preview.identity(there[0]) == preview.identity(changed[-1])) is same


def test_stored_policy_may_have_its_tier_before_its_name() -> None:
    """So Calico stores those of the default tier up to 3.31, and serves them without."""
    stored = {**STORED, "metadata": {"name": "default.p", "namespace": "shop"}}
    served = _calico("NetworkPolicy", "p", "shop", selector="all()", types=["Egress"])
    assert [one.body for one in preview.changed(_documents(stored), _documents(served))] == [served]
    tiered = {**STORED, "metadata": {"name": "ours.p", "namespace": "shop"}}
    assert len(preview.changed(_documents(tiered), _documents(served))) == 2


def test_stored_policy_comes_as_it_is_served() -> None:
    before = _documents(SHOP, STORED)
    after = preview.changed(before, _documents(_calico("NetworkPolicy", "p", "shop", ingress=_allow())))
    assert _short(_said(preview.preview(_seen("web > cart"), AROUND, before, after).allowed)) == [
        "web > cart"
    ]


def test_deleted_object_is_gone() -> None:
    there = _documents(SHOP, STORED, _kubernetes("k"))
    gone = [preview.identity(one) for one in there[1:]]
    assert preview.changed(there, [], gone) == there[:1]
    with pytest.raises(LookupError, match=r"NetworkPolicy/bank/k of networking"):
        preview.changed(there, [], [preview.identity(_documents(_kubernetes("k", "bank"))[0])])


def test_documents_are_left_alone() -> None:
    there = _documents(SHOP, STORED)
    written = json.dumps([one.body for one in there])
    preview.preview(_seen("web > cart"), AROUND, there, preview.changed(there, _documents(_kubernetes("k"))))
    assert json.dumps([one.body for one in there]) == written


def test_policy_that_is_not_understood_is_refused() -> None:
    before = _documents(SHOP)
    after = preview.changed(before, _documents(_calico("NetworkPolicy", "p", "shop", slector="all()")))
    with pytest.raises(errors.ManifestError, match="slector"):
        preview.preview(_seen("web > cart"), AROUND, before, after)


def test_what_is_changed_stays_in_its_place() -> None:
    """Of two host endpoints of all interfaces it is the first that counts."""
    hosts = [_calico("HostEndpoint", name, node="n1", interfaceName="*", profiles=profiles)
             for name, profiles in (("a", ["projectcalico-default-allow"]), ("b", []))]  # fmt: skip
    node = {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
        "status": {"addresses": [{"type": "InternalIP", "address": "172.31.0.1"}]},
    }  # fmt: skip
    before, around = _documents(SHOP, *hosts), cluster.read(_documents(node))
    seen = _seen("203.0.113.9 > 172.31.0.1 4")
    for one, denied in ((hosts[0], 0), ({**hosts[0], "spec": hosts[1]["spec"]}, 1)):
        after = preview.changed(before, _documents(one))
        assert len(preview.preview(seen, around, before, after).denied) == denied
