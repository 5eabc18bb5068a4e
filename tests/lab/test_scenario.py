"""The scenario against the manifests that it speaks about."""

from __future__ import annotations

import pytest

from lab import controlplane, network, scenario
from model import cluster, enums, manifest
from policy import parse, prefixes

DOCUMENTS = manifest.load(controlplane.built_in())
GIVEN = cluster.read(DOCUMENTS)
WORKLOADS = {f"{w.namespace}/{w.name}": w for w in GIVEN.workloads}
SERVICES = {f"{s.namespace}/{s.name}": s for s in GIVEN.services}
HOSTS = WORKLOADS.keys() | {f"outside/{name}" for name in network.OUTSIDE}
HITS = prefixes.table(parse.parse(DOCUMENTS), [namespace.name for namespace in GIVEN.namespaces])
FAMILIES = (0, 1)
PATTERNS = pytest.mark.parametrize(
    "pattern", [pytest.param(p, id=f"{p.source} {p.name} {p.target} {p.port}") for p in scenario.PATTERNS]
)  # fmt: skip


@PATTERNS
def test_ends_of_a_pattern_exist(pattern: scenario.Pattern) -> None:
    assert pattern.source in HOSTS
    assert pattern.target in HOSTS or isinstance(pattern.target, tuple)


@PATTERNS
def test_service_leads_to_the_target(pattern: scenario.Pattern) -> None:
    if not pattern.service:
        return
    service, target = SERVICES[pattern.service], WORKLOADS[pattern.target]
    assert service.namespace == target.namespace
    assert service.selector.items() <= target.template.labels.items()
    assert (pattern.port, pattern.protocol) in [(port.number, port.protocol) for port in service.ports]


@PATTERNS
def test_expected_rule_is_in_the_policies(pattern: scenario.Pattern) -> None:
    """Tier, kind, name, action and index, as the prefix of such a rule would be read."""
    known = {hit.render() for hit in HITS.values()} | {""}
    for family in FAMILIES:
        assert {pattern.rule(direction, family) for direction in enums.Direction} <= known


@PATTERNS
def test_policed_end_has_a_rule(pattern: scenario.Pattern) -> None:
    """Every pod is policed in both directions; what its source denies never reaches the other end."""
    for family in FAMILIES:
        egress, ingress = (pattern.rule(d, family) for d in (enums.Direction.EGRESS, enums.Direction.INGRESS))
        assert bool(egress) == (pattern.source in WORKLOADS)
        assert egress == "" or egress.startswith("egress|")
        assert ingress == "" or ingress.startswith("ingress|")
        assert bool(ingress) == (pattern.target in WORKLOADS and "|deny|" not in egress)


def _pattern(**rules: scenario.Rule) -> scenario.Pattern:
    return scenario.Pattern(name="a", source="b", target="c", **rules)


@pytest.mark.parametrize(
    ("pattern", "denied"),
    [
        pytest.param(_pattern(), (False, False), id="nothing polices it"),
        pytest.param(_pattern(egress="egress|t|np:a|allow|0"), (False, False), id="allowed"),
        pytest.param(_pattern(egress="egress|t|np:a|deny|0"), (True, True), id="denied at the source"),
        pytest.param(
            _pattern(egress="egress|t|np:a|allow|0", ingress="ingress|t|np:a|deny|0"),
            (True, True),
            id="denied at the destination",
        ),
        pytest.param(
            _pattern(ingress=("ingress|t|np:a|allow|0", "ingress|t|np:a|deny|1")),
            (False, True),
            id="denied in IPv6 alone",
        ),
        pytest.param(_pattern(egress="egress|t|np:deny|allow|0"), (False, False), id="policy called deny"),
    ],
)
def test_denied(pattern: scenario.Pattern, denied: tuple[bool, bool]) -> None:
    assert tuple(pattern.denied(family) for family in FAMILIES) == denied


def test_succession_has_one_address_to_share() -> None:
    """The first has one pod, and the second none of its own."""
    assert [WORKLOADS[name].replicas for name in scenario.SUCCESSION] == [1, 0]


def test_outside_servers_are_asked_at_their_ports() -> None:
    asked = {(p.target, p.port) for p in scenario.PATTERNS if not p.denied(0)}
    served = {(host, port) for host, ports in scenario.OUTSIDE_SERVERS.items() for port in ports}
    assert served == {(target, port) for target, port in asked if target not in WORKLOADS}


@PATTERNS
def test_nobody_waits_at_a_mute_port(pattern: scenario.Pattern) -> None:
    mute = pattern.protocol == scenario.UDP and pattern.port in scenario.MUTE_PORTS
    assert (pattern.patience == 0) == mute


def test_every_direction_allows_and_denies() -> None:
    """Otherwise the lab would not show half of what it is for."""
    rules = [p.rule(direction, 0) for p in scenario.PATTERNS for direction in enums.Direction]
    seen = {(rule.split("|")[0], rule.split("|")[3]) for rule in rules if rule}
    assert seen == {(d, a) for d in ("egress", "ingress") for a in ("allow", "deny")}
