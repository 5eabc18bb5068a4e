"""Whose counter a rule of Calico's chains is, in cases that no whole ruleset has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from collector.counters import calico
from model import chainnames, enums, policyhit

INGRESS, EGRESS = enums.Direction.INGRESS, enums.Direction.EGRESS
ALLOW, DENY, PASS = enums.Action.ALLOW, enums.Action.DENY, enums.Action.PASS
Read = Callable[..., Any]

ENDPOINT = (
    "-A cali-tw-calia -m mark --mark 0x0/0x2 -j cali-pi-np/shop/web",
    '-A cali-tw-calia -m comment --comment "Return if policy accepted" -m mark --mark 0x1/0x1 -j RETURN',
)
POLICY = "-A cali-pi-np/shop/web"
ALLOWS, ALLOWED = f"{POLICY} -p tcp -j MARK --set-xmark 0x1/0x1", f"{POLICY} -m mark --mark 0x1/0x1"
PASSES, PASSED = f"{POLICY} -p udp -j MARK --set-xmark 0x2/0x2", f"{POLICY} -m mark --mark 0x2/0x2 -j RETURN"
DENIES, DENIED = f"{POLICY} -p sctp -j MARK --set-xmark 0x4/0x4", f"{POLICY} -m mark --mark 0x4/0x4 -j DROP"
LOGS = f'{POLICY} -p gre -j LOG --log-prefix "calico-packet"'


def _owner(*listed: tuple[int, enums.Action | None], **fields: Any) -> chainnames.Owner:
    rules = tuple(chainnames.Listed(*rule) for rule in listed)
    plain: dict[str, Any] = {"tier": "default", "namespace": "shop", "name": "web", "ipv4": rules}
    return chainnames.Owner(direction=INGRESS, kind="np", **plain | fields)


def _found(ruleset: Any, prefixes: Any = None, owners: Any = None) -> list[tuple[str, bool]]:
    found = calico.attribute(ruleset.chains(), prefixes or {}, owners or {})
    return [(one.hit.render(), one.exact) for one in found]


def _policy(ruleset: Any, *listed: tuple[int, enums.Action | None]) -> list[tuple[enums.Action, int, bool]]:
    owners = {"cali-pi-np/shop/web": _owner(*listed)} if listed else {}
    found = calico.attribute(ruleset.chains(), {}, owners)
    return [(one.hit.action, one.hit.rule, one.exact) for one in found]


def test_known_indexes_are_given_to_rules_in_order(read_rules: Read) -> None:
    """Rules of the other family leave a gap; a log rule has an index and no hit."""
    ruleset = read_rules(*ENDPOINT, ALLOWS, f"{ALLOWED} -j RETURN", LOGS, DENIES, DENIED, PASSES, PASSED)
    assert _policy(ruleset, (0, ALLOW), (3, None), (4, DENY), (7, PASS)) == [
        (ALLOW, 0, True), (DENY, 4, True), (PASS, 7, True),
    ]  # fmt: skip


def test_unknown_policy_gets_places(read_rules: Read) -> None:
    ruleset = read_rules(*ENDPOINT, ALLOWS, f"{ALLOWED} -j RETURN", LOGS, DENIES, DENIED)
    assert _policy(ruleset) == [(ALLOW, 0, False), (DENY, 2, False)]


@pytest.mark.parametrize(
    "listed",
    [
        pytest.param([(0, ALLOW)], id="fewer rules"),
        pytest.param([(0, ALLOW), (1, DENY), (2, DENY)], id="more rules"),
        pytest.param([(0, DENY), (1, ALLOW)], id="other order"),
    ],
)
def test_contradiction_gives_no_index(read_rules: Read, listed: Any) -> None:
    """The ruleset is older or newer than what is known of the policy."""
    ruleset = read_rules(*ENDPOINT, ALLOWS, f"{ALLOWED} -j RETURN", DENIES, DENIED)
    assert _policy(ruleset, *listed) == [(ALLOW, policyhit.NO_RULE, False), (DENY, policyhit.NO_RULE, False)]


def test_last_return_may_be_missing(read_rules: Read) -> None:
    assert _policy(read_rules(*ENDPOINT, ALLOWS), (5, ALLOW)) == [(ALLOW, 5, True)]


def test_match_block_counts_once(read_rules: Read) -> None:
    """Scratch bits are set and cleared before the match; in old versions a bare drop comes after them."""
    block = (
        f"{POLICY} -j MARK --set-xmark 0x0/0x18", f"{POLICY} -p tcp --dport 1 -j MARK --set-xmark 0x8/0x8",
        f"{POLICY} -p tcp --dport 2 -j MARK --set-xmark 0x8/0x8",
    )  # fmt: skip
    drop = f"{POLICY} -m mark --mark 0x8/0x8 -j DROP"
    allow = f"{POLICY} -p tcp -m mark --mark 0x8/0x8 -j MARK --set-xmark 0x1/0x1"
    ruleset = read_rules(*ENDPOINT, *block, drop, *block, allow)
    assert _policy(ruleset, (0, DENY), (1, ALLOW)) == [(DENY, 0, True), (ALLOW, 1, True)]


def test_comment_wins_over_a_name_that_could_be_anothers(read_rules: Read) -> None:
    chain = "cali-pi-_MyMWen-AI-T_--my320"
    title = '-m comment --comment "Policy shop/default.more ingress"'
    ruleset = read_rules(
        ENDPOINT[1], f"-A cali-tw-calia -m mark --mark 0x0/0x2 -j {chain}",
        f"-A {chain} {title} -j MARK --set-xmark 0x1/0x1",
    )  # fmt: skip
    assert _found(ruleset, {}, {chain: _owner((4, ALLOW))}) == [
        ("ingress|default|np:shop/more|allow|0", False)
    ]
    known = {chain: _owner((4, ALLOW), name="more")}
    assert _found(ruleset, {}, known) == [("ingress|default|np:shop/more|allow|4", True)]


def test_hashed_chain_without_words_is_unrecognised(read_rules: Read) -> None:
    chain = "cali-pi-_MyMWen-AI-T_--my320"
    jump = f"-A cali-tw-calia -m mark --mark 0x0/0x2 -j {chain}"
    ruleset = read_rules(jump, ENDPOINT[1], f"-A {chain} -j MARK --set-xmark 0x1/0x1")
    assert _found(ruleset) == [(f"ingress||unrecognised:{chain}|allow|0", False)]


NONE = "Drop if no policies passed packet"
LONG = policyhit.PolicyHit(
    direction=INGRESS, kind="np", namespace="shop", name="x" * 60, action=ALLOW, rule=2
).prefix()


def test_hashed_prefix_is_known_by_its_chain(read_rules: Read) -> None:
    log = f'{ALLOWED} -j NFLOG --nflog-prefix "{LONG}" --nflog-group 1'
    ruleset = read_rules(*ENDPOINT, ALLOWS, log)
    assert _found(ruleset, {}, {"cali-pi-np/shop/web": _owner((0, DENY))}) == [
        ("ingress|default|np:shop/web|allow|2", True)
    ]
    known = policyhit.PolicyHit(direction=INGRESS, kind="np", name="known", action=ALLOW, rule=2)
    assert _found(ruleset, {LONG: known}) == [("ingress||np:known|allow|2", True)]


def test_log_rules_tell_marks_where_nothing_else_does(read_rules: Read) -> None:
    """As nft shows a ruleset of iptables', without comments."""
    lines = [ALLOWS, f"{ALLOWED} -j NFLOG --nflog-prefix API0|np/shop/web --nflog-group 1"]
    assert _policy(read_rules(*lines)) == [(ALLOW, 0, True)]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(
            ['-m comment --comment "Drop if no policies passed packet" -j DROP'],
            [("ingress|default|end-of-tier|deny|-1", True)], id="one tier",
        ),
        pytest.param(
            ['-m comment --comment "End of tier 1ops. Reject if no policies passed packet" -j REJECT'],
            [("ingress|1ops|end-of-tier|deny|-1", True)], id="reject",
        ),
        pytest.param(
            ['-m comment --comment "Drop if no profiles matched" -j DROP'],
            [("ingress|__PROFILE__|no-profile|deny|-1", True)], id="no profile",
        ),
        pytest.param(
            ["-m mark --mark 0x0/0x2 -j NFLOG --nflog-prefix PPI|ops --nflog-group 1",
             "-m mark --mark 0x0/0x2 -j NFLOG --nflog-prefix DPI|default --nflog-group 1",
             f'-m mark --mark 0x0/0x2 -m comment --comment "End of tier default. {NONE}" -j DROP'],
            [("ingress|ops|end-of-tier|pass|-1", True), ("ingress|default|end-of-tier|deny|-1", True)],
            id="logged before",
        ),
        pytest.param(
            ['-m comment --comment "Endpoint admin disabled" -j DROP',
             "-m conntrack --ctstate INVALID -j DROP",
             '-m comment --comment "Drop VXLAN encapped packets originating in workloads" -j DROP'],
            [], id="no policy's",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("chain", ["cali-tw-calia", "cali-fh-eth0", "cali-fhfw-eth0"])
def test_ends_of_tiers_are_counted_once(
    read_rules: Read, chain: str, lines: list[str], expected: Any
) -> None:
    assert _found(read_rules(*(f"-A {chain} {line}" for line in lines))) == expected


def test_empty_policy_counts_nothing(read_rules: Read) -> None:
    title = '-m comment --comment "NetworkPolicy shop/web ingress"'
    assert _found(read_rules(*ENDPOINT, f"{POLICY} {title}")) == []
