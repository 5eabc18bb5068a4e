import pytest

from app.widgets import words
from model import enums


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("", "no rule is known", id="none"),
        pytest.param(
            "ingress|default|end-of-tier|deny|-1",
            "ingress: end of tier default, no policy allowed it",
            id="end",
        ),
        pytest.param(
            "egress|default|knp:shop/web|allow|2",
            "egress: NetworkPolicy shop/web of tier default, rule 2",
            id="kubernetes",
        ),
        pytest.param("from a newer collector", "from a newer collector", id="not-understood"),
    ],
)
def test_rule_is_a_sentence(text, sentence):
    assert words.rule(text) == sentence


def test_trace_keeps_the_order():
    hits = words.trace("ingress|security|gnp:lab|pass|1 ingress|default|knp:shop/web|allow|0")
    assert [action for action, _ in hits] == ["pass", "allow"]
    assert words.trace("") == []
    assert words.trace("unheard-of") == [("", "unheard-of")]


@pytest.mark.parametrize(
    ("say", "members"),
    [
        pytest.param(words.attribution, enums.Attribution, id="attribution"),
        pytest.param(words.reporter, enums.Reporter, id="reporter"),
        pytest.param(words.kind, enums.EndpointKind, id="kind"),
        pytest.param(words.verdict, enums.Verdict, id="verdict"),
        pytest.param(words.direction, enums.Direction, id="direction"),
    ],
)
def test_every_member_has_words(say, members):
    said = [say(member.value) for member in members]
    assert {member.value for member in members} & set(said) <= {"pod", "node"}  # which are words already
    assert len(set(said)) == len(said)
    assert "no policy decided" not in said


@pytest.mark.parametrize("say", [words.attribution, words.reporter, words.kind, words.verdict, words.title])
def test_unheard_of_words_stay(say):
    assert say("unheard-of") == "unheard-of"
