"""Policies as steps, one program for each kind of subject."""

from __future__ import annotations

import ipaddress

from model import cluster, enums
from policy import objects, program, selector, transports, world

INGRESS = enums.Direction.INGRESS
TCP = enums.Protocol.TCP
CLUSTER = cluster.Cluster(pods=tuple(
    cluster.Pod(namespace="shop", name=name, labels={"app": name}, addresses=(f"10.0.0.{i}",))
    for i, name in enumerate(("web", "cart", "till"), 1)
))  # fmt: skip
WEB = selector.parse("app == 'web'")
BEHIND = {
    ("shop", "db"): frozenset(
        {(ipaddress.ip_network("10.0.0.9"), 6, 5432), (ipaddress.ip_network("10.0.0.8"), 6, 5433)}
    )
}


def _policy(
    name: str, *rules: objects.Rule, subjects: selector.Selector = WEB, **more: object
) -> objects.Policy:
    return objects.Policy(
        kind="gnp", name=name, subjects=subjects, types=frozenset({INGRESS}), ingress=rules, **more
    )  # type: ignore[arg-type]


def _rule(action: str = "allow", **more: object) -> objects.Rule:
    return objects.Rule(action=objects.RuleAction(action), **more)  # type: ignore[arg-type]


def _steps(*policies: objects.Policy, label: int = 0) -> tuple[program.Compiler, list[tuple[str, str, int]]]:
    """The hits of a subject's program, what they do, and where a packet that is passed goes on."""
    compiler = program.Compiler(BEHIND)
    made = compiler.programs(objects.policy_set((), policies), INGRESS, world.World(CLUSTER))
    hits = [hit.render().split("|", 1)[1] for hit in compiler.hits]
    start = int(made.starts[label])
    end = next(i for i in range(start, len(made.hits)) if "__PROFILE__" in hits[made.hits[i]]) + 1
    words = {program.DENY: "deny", program.ALLOW: "allow", program.PASS: "pass"}
    return compiler, [
        (hits[made.hits[i]], words[int(made.actions[i])], int(made.jumps[i]) - start)
        for i in range(start, end)
    ]


def test_tiers_end_and_profiles_are_last() -> None:
    _, steps = _steps(
        _policy("a", _rule("pass"), _rule("log"), _rule(), tier="kube-admin"), _policy("b", _rule("deny"))
    )
    assert steps == [
        ("kube-admin|gnp:a|pass|0", "pass", 3), ("kube-admin|gnp:a|allow|2", "allow", 3),
        ("kube-admin|end-of-tier|pass|-1", "pass", 3), ("default|gnp:b|deny|0", "deny", 5),
        ("default|end-of-tier|deny|-1", "deny", 5), ("__PROFILE__|pro:kns.shop|allow|0", "allow", 6),
    ]  # fmt: skip


def test_who_is_not_selected_has_its_profile_alone() -> None:
    _, steps = _steps(_policy("a", _rule("deny")), label=1)
    assert steps == [("__PROFILE__|pro:kns.shop|allow|0", "allow", 1)]


def test_subjects_that_are_selected_alike_share_a_program() -> None:
    compiler = program.Compiler({})
    made = compiler.programs(objects.policy_set((), [_policy("a", _rule())]), INGRESS, world.World(CLUSTER))
    assert len(set(made.starts.tolist())) == 2
    assert made.starts[1] == made.starts[2]
    assert [[one.name for one in some] for some in made.selecting] == [["a"], [], []]


def test_policy_of_hosts_alone_judges_no_pod() -> None:
    _, steps = _steps(_policy("a", _rule("deny"), early="preDNAT", forward=True))
    assert len(steps) == 1


def test_numbers_and_names_of_ports_are_alternatives() -> None:
    """A name counts where the pod itself is selected, a number also for who is in a network set."""
    peer = objects.Peer(members=WEB, ports=(objects.PortRange(80, 80),), port_names=("http",))
    compiler, steps = _steps(_policy("a", _rule(protocol=TCP, destination=peer)))
    assert [hit for hit, _, _ in steps][:2] == ["default|gnp:a|allow|0"] * 2
    assert [(whom.own, whom.members) for whom in compiler.whoms][1:] == [(False, WEB), (True, WEB)]
    assert [(one.destination.ports, one.destination.names) for one in compiler.transports][1:] == [
        ((objects.PortRange(80, 80),), ()), ((), ("http",))
    ]  # fmt: skip


def test_service_stands_for_its_addresses_and_their_ports() -> None:
    to, of = objects.Peer(service=("shop", "db")), objects.Peer(service=("shop", "db"))
    compiler, steps = _steps(_policy("a", _rule(destination=to), _rule(source=of)))
    assert len(steps) == 2 + 1 + 2
    nets = [[str(net) for net in whom.nets] for whom in compiler.whoms][1:]
    assert nets == [["10.0.0.8/32"], ["10.0.0.9/32"], ["10.0.0.8/32", "10.0.0.9/32"]]
    ports = [[span.first for span in one.destination.ports] for one in compiler.transports]
    assert ports == [[], [5433], [5432]]


def test_service_that_is_not_there_matches_nothing() -> None:
    _, steps = _steps(_policy("a", _rule(source=objects.Peer(service=("shop", "lost")))))
    assert steps[0][0] == "default|end-of-tier|deny|-1"


def test_service_of_another_protocol_matches_nothing() -> None:
    _, steps = _steps(
        _policy("a", _rule(protocol=enums.Protocol.UDP, destination=objects.Peer(service=("shop", "db"))))
    )
    assert len(steps) == 2


def test_first_numbers_are_anybody_and_anything() -> None:
    compiler = program.Compiler({})
    assert (list(compiler.whoms), list(compiler.transports)) == ([world.ANYBODY], [transports.ANY])
