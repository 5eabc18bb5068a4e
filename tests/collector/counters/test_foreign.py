"""Rules of nobody whom we know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from collector.counters import foreign
from model import enums, policyhit

OWN = "ingress||custom:filter%2FX"


def _found(ruleset: Any, hooks: Any = None, known: Any = None) -> list[tuple[str, bool, int]]:
    found = foreign.attribute(ruleset.chains(), ruleset.hooks if hooks is None else hooks, known or {})
    return [(one.hit.render(), one.exact, one.group) for one in found]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(
            ["-A X -p tcp -j ACCEPT", "-A X -j DROP", "-A X -j REJECT"],
            [(f"{OWN}|allow|0", False, -1), (f"{OWN}|deny|1", False, -1), (f"{OWN}|deny|2", False, -1)],
            id="verdicts",
        ),
        pytest.param(
            ["-A X -j RETURN", "-A X -p tcp", "-A X -j LOG", "-A X -j MARK --set-xmark 0x1/0x1"],
            [], id="none",
        ),
        pytest.param(
            ["-A X -p tcp -j NFLOG --nflog-prefix DRE --nflog-group 4", "-A X -p tcp -j DROP"],
            [("egress|__PROFILE__|no-profile|deny|-1", True, 4)], id="logs for the next rule",
        ),
        pytest.param(
            ["-A X -p tcp -j NFLOG --nflog-prefix DRE --nflog-group 4", "-A X -p udp -j DROP"],
            [("egress|__PROFILE__|no-profile|deny|-1", True, 4), (f"{OWN}|deny|1", False, -1)],
            id="logs for itself",
        ),
        pytest.param(
            ["-A X -m limit --limit 1/sec -j NFLOG --nflog-prefix mine --nflog-group 4"],
            [], id="only a sample",
        ),
        pytest.param(
            ['-A X -m comment --comment "Policy explicitly accepted packet." -j ACCEPT'],
            [], id="Calico's end",
        ),
        pytest.param(["-A cali-X -j DROP", "-A KUBE-POD-FW-X -j DROP"], [], id="chains of others"),
        pytest.param(
            ['-A X -m comment --comment "a b" -j DROP'],
            [("ingress||custom:filter%2FX%2Fa%20b|deny|0", False, -1)], id="named by its comment",
        ),
    ],
)  # fmt: skip
def test_rules_that_decide_are_found(read_rules: Callable[..., Any], lines: list[str], expected: Any) -> None:
    assert _found(read_rules(*lines)) == expected


def test_known_prefix_names_its_policy(read_rules: Callable[..., Any]) -> None:
    hit = policyhit.PolicyHit(
        direction=enums.Direction.EGRESS, kind="np", name="known", action=enums.Action.DENY, rule=1
    )
    ruleset = read_rules("-A X -j NFLOG --nflog-prefix mine --nflog-group 0")
    assert _found(ruleset, known={"mine": hit}) == [("egress||np:known|deny|1", True, 0)]


@pytest.mark.parametrize(
    ("hooks", "direction"),
    [
        pytest.param(["output"], "egress", id="leaves this host"),
        pytest.param(["input"], "ingress", id="comes to this host"),
        pytest.param(["output", "input"], "ingress", id="both"),
        pytest.param([], "ingress", id="nobody comes here"),
    ],
)
def test_direction_is_of_what_comes_there(
    read_rules: Callable[..., Any], hooks: list[str], direction: str
) -> None:
    """Along jumps, also in circles, which the kernel would refuse."""
    ruleset = read_rules("-A X -j cali-b", "-A Y -j cali-b", "-A cali-b -j KUBE-c", "-A KUBE-c -j cali-b",
                         "-A KUBE-c -j DROP")  # fmt: skip
    bases = {("filter", chain): hook for chain, hook in zip("XY", hooks, strict=False)}
    assert [hit.partition("|")[0] for hit, *_ in _found(ruleset, bases)] == [direction]
