"""The table as the kernel gets it."""

from __future__ import annotations

import json
import struct

import pytest

from collector.netlink import sockets
from collector.probe import decode, ruleset, table

PLAN = ruleset.Plan(size=64, timeout_seconds=32, period_seconds=32, examples=8)
_JUMP, _RETURN = -3, -5


def _verdicts(message: bytes) -> list[int]:
    """The codes of all ``immediate`` expressions in a rule."""
    rule = decode.attribute_values(message)[4]  # NFTA_RULE_EXPRESSIONS
    codes = []
    for at in [place for place in range(len(rule)) if rule.startswith(b"immediate\0", place)]:
        marker = struct.pack("=HH", 8, 1)  # NFTA_IMMEDIATE_DREG, and behind it NFTA_VERDICT_CODE
        code = rule.index(marker, rule.index(marker, at) + 1) + len(marker)
        codes.append(struct.unpack_from(">i", rule, code)[0])
    return codes


@pytest.mark.parametrize("replacing", [False, True])
def test_no_rule_decides_about_a_packet(replacing: bool) -> None:
    messages = ruleset.render(PLAN, replacing=replacing)
    rules = [message for what, message in messages if what.startswith("rule")]
    codes = [code for rule in rules for code in _verdicts(rule)]
    assert len(codes) > 10
    assert set(codes) == {_JUMP, _RETURN}


@pytest.mark.parametrize(("replacing", "first"), [(False, ruleset.NEW_TABLE), (True, ruleset.DELETE_TABLE)])
def test_transaction_begins_with_the_table(replacing: bool, first: int) -> None:
    kinds = [
        sockets.HEADER.unpack_from(message)[1] for _, message in ruleset.render(PLAN, replacing=replacing)
    ]
    assert kinds[0] == first
    assert kinds.count(ruleset.NEW_TABLE) == 1


@pytest.mark.parametrize(
    ("parts", "family", "length"),
    [
        pytest.param(ruleset.EDGE, 4, 20, id="edge"),
        pytest.param(ruleset.EDGE, 6, 44, id="edge, IPv6"),
        pytest.param(ruleset.TRANSLATED, 4, 28, id="translated"),
        pytest.param(ruleset.TRANSLATED, 6, 64, id="translated, IPv6: all that the kernel has registers for"),
    ],
)
def test_length_of_keys(parts, family: int, length: int) -> None:
    assert ruleset.key_length(parts, family) == length


def test_sets_of_later_stages_have_room_for_what_the_first_holds() -> None:
    sizes = {}
    for what, message in ruleset.render(PLAN, replacing=False):
        if what.startswith("set "):
            description = decode.attribute_values(message)[9]  # NFTA_SET_DESC
            sizes[what.removeprefix("set ")] = struct.unpack_from(">I", description, 4)[0]
    for family in ruleset.FAMILIES:
        for stage in ruleset.STAGES[1:]:
            assert sizes[ruleset.counting_set(stage, family)] >= 2 * sizes[f"seen{family}"]


@pytest.mark.net
def test_nft_can_list_it_with_what_it_holds(network) -> None:
    made = table.Table(network.paths["router"], PLAN)
    network.send("10.2.0.2", 53, 2)
    network.send("fd02::2", 53, 2)
    text = network.run("nft", "list", "ruleset")
    assert "policy accept" in text
    for word in ("drop", "reject", "queue"):
        assert word not in text.replace(ruleset.TABLE, "").replace("drop_probe", "")
    listed = json.loads(network.run("nft", "-j", "list", "ruleset"))["nftables"]
    chains = [item["chain"] for item in listed if "chain" in item and "hook" in item["chain"]]
    assert {chain["policy"] for chain in chains} == {"accept"}
    assert len(chains) == 8
    made.close()
