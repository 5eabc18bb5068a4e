"""A user's own grammar of NFLOG prefixes."""

from __future__ import annotations

import time

import pytest

from model import enums, errors, policyhit, prefixpattern

FULL = (
    r"^(?P<action>\w+)(?:-(?P<direction>\w+))? "
    r"(?:(?P<namespace>[^/ ]+)/)?(?P<policy>[^ #]+)(?:#(?P<rule>\w+))?"
)


@pytest.mark.parametrize(
    ("prefix", "text"),
    [
        pytest.param("DROP-out shop/web#3", "egress||custom:shop/web|deny|3", id="everything"),
        pytest.param("accept web: ", "ingress||custom:web:|allow|-1", id="only what must be there"),
        pytest.param("Pass-INPUT web", "ingress||custom:web|pass|-1", id="any case"),
        pytest.param("R-E web", None, id="a word that is no action"),
        pytest.param("DROP-sideways web", None, id="a word that is no direction"),
        pytest.param("DROP web#first", None, id="a rule that is no number"),
        pytest.param("DROP", None, id="not found in it"),
        pytest.param("", None, id="no prefix"),
    ],
)
def test_prefix_is_read_by_its_groups(prefix: str, text: str | None) -> None:
    hit = prefixpattern.compile_pattern(FULL).parse(prefix)
    assert (hit.render() if hit else None) == text


@pytest.mark.parametrize(
    "word", ["a", "allowed", "ACCEPT", "d", "denied", "Drop", "REJECT", "blocked", "p", "next"]
)
def test_usual_words_are_actions(word: str) -> None:
    hit = prefixpattern.compile_pattern("^(?P<action>.*)$").parse(word)
    assert hit is not None
    letter = {"allow": "aA", "deny": "dDRb", "pass": "pn"}[hit.action.value]
    assert word[0] in letter


@pytest.mark.parametrize(
    ("expression", "prefix", "action"),
    [
        pytest.param("^fw", "fw drop ssh ", "deny", id="no group at all"),
        pytest.param("^fw (?P<action>allow)?", "fw ssh", "deny", id="group that took no part"),
        pytest.param("^fw (?P<action>allow)?", "fw allow ssh", "allow", id="group that did"),
    ],
)
def test_default_action_holds_where_none_is_said(expression: str, prefix: str, action: str) -> None:
    hit = prefixpattern.compile_pattern(expression, default_action=enums.Action.DENY).parse(prefix)
    assert hit is not None
    assert (hit.action, hit.name) == (action, prefix.strip())


def test_grammar_says_what_it_cannot_tell() -> None:
    grammar = prefixpattern.compile_pattern("(?P<action>.)", sampled=True)
    assert (grammar.name, grammar.sampled, grammar.directed) == ("pattern", True, False)
    assert prefixpattern.compile_pattern("(?P<action>.)(?P<direction>.)").directed


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        pytest.param("(?P<action>a", r"missing \) at character 1;", id="parenthesis"),
        pytest.param("(?P<action>a)[b", r"missing \]: \[b at character 14;", id="bracket"),
        pytest.param("(?P<action>a)++", r"bad repetition operator: \+\+ at character 14;", id="repetition"),
        pytest.param("(?P<action>a)(?=b)", r"invalid perl operator: \(\?= at character 14;", id="look-ahead"),
        pytest.param(
            r"(?P<action>a)\1", r"invalid escape sequence: \\1 at character 14;", id="reference back"
        ),
        pytest.param("(?P<action>a)(b)", "a group without name; write", id="unnamed group"),
        pytest.param(
            "(?P<action>a)(?P<pod>b)", "there is no group 'pod' at character 17;", id="unknown group"
        ),
        pytest.param(
            "(?P<action>a)(?P<action>b)", "group 'action' is there twice at character 17;", id="twice"
        ),
        pytest.param("(?P<policy>a)", "there is no group 'action', and no default action;", id="no action"),
        pytest.param("(?P<action>a)\ud800", "not text at character 14;", id="not text"),
        pytest.param("(?P<action>a{1,2000})", "invalid repetition size", id="huge repetition"),
        pytest.param("(" * 900, "missing", id="deep"),
        pytest.param("a" * 1001, "longer than 1000 characters;", id="long"),
    ],
)
def test_wrong_expression_is_refused_with_its_reason(expression: str, reason: str) -> None:
    with pytest.raises(errors.SetupError, match=reason) as raised:
        prefixpattern.compile_pattern(expression)
    assert str(raised.value).startswith("NFLOG pattern '")
    assert str(raised.value).endswith("are among action, direction, namespace, policy, rule")


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param(r"^(?P<action>(?:a+)+)$", id="repeated repetition"),
        pytest.param(r"^(?P<action>(?:a|a)*)$", id="ambiguous alternatives"),
        pytest.param(r"(?P<action>(?:(?:.*a)*b)*)c$", id="three deep"),
        pytest.param(r"^(?P<action>.*.*.*.*.*.*.*.*.*.*)=$", id="many in a row"),
    ],
)
def test_no_expression_takes_long(expression: str) -> None:
    """An engine that tracks back would not come to an end in days."""
    grammar = prefixpattern.compile_pattern(expression)
    started = time.process_time()
    assert grammar.parse("a" * 126 + "!") is None
    assert time.process_time() - started < 1


def test_no_prefix_is_mistaken_for_calicos() -> None:
    hit = prefixpattern.compile_pattern("^(?P<action>.)").parse("D|a b")
    assert hit is not None
    assert (hit.kind, hit.render()) == (policyhit.CUSTOM, "ingress||custom:D%7Ca%20b|deny|-1")
