"""Chains as Calico writes them."""

from __future__ import annotations

import pytest

from lab import chains


def test_empty_rule_goes_on_with_calicos_hash() -> None:
    chain = chains.Chain("filter-cali-pri-ksa.shop.default", (chains.Line(),))
    assert '    continue comment "cali:DcOnHL4J-IZT9AGh;"' in chain.render().splitlines()


def test_hash_depends_on_rules_before() -> None:
    line = chains.Line("", "accept")
    first, second = chains.Chain("c", (line, line)).render().splitlines()[1:3]
    assert first.startswith("    counter accept comment")
    assert first != second


def test_only_last_return_is_left_out() -> None:
    line = chains.Line("ct state new", "return")
    rendered = chains.Chain("c", (line, line), "type filter hook input priority 0;").render()
    assert rendered.count("return") == 1
    assert rendered.splitlines()[1] == "    type filter hook input priority 0;"


def test_comment_is_escaped_and_cut() -> None:
    comment = chains.Chain("c", (chains.Line("", "drop", 'a"b' + "x" * 200),)).render().split('"')[1]
    assert "; a_bx" in comment
    assert len(comment) == 128


@pytest.mark.parametrize(
    ("length", "hashed"), [pytest.param(240, False, id="fits"), pytest.param(241, True, id="too long")]
)
def test_long_chain_name_is_hashed(length: int, hashed: bool) -> None:
    name = chains.limited("cali-pi-", "x" * length)
    assert name.startswith("cali-pi-_") is hashed
    assert len(f"filter-{name}") <= 255


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(chains.set_mark(chains.ACCEPT), "meta mark set mark or 0x10000", id="set"),
        pytest.param(chains.clear_mark(0x30000), "meta mark set mark & 0xfffcffff", id="clear"),
        pytest.param(chains.is_set(chains.DROP), "meta mark & 0x40000 == 0x40000", id="is set"),
        pytest.param(chains.is_clear(chains.PASS), "meta mark & 0x20000 == 0", id="is clear"),
        pytest.param(chains.is_not_clear(0x30000), "meta mark & 0x30000 != 0", id="is not clear"),
    ],
)  # fmt: skip
def test_marks_are_written_as_calico_does(found: str, expected: str) -> None:
    assert found == expected
