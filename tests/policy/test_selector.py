"""Calico's selector language."""

from __future__ import annotations

import string

import hypothesis
import hypothesis.strategies as st
import pytest

from model import errors, manifest
from policy import selector

WEB = {"app": "web", "env": "prod", "projectcalico.org/namespace": "shop"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", True, id="blank is all"),
        pytest.param("all()", True, id="all"),
        pytest.param("all( )", True, id="all with a space inside"),
        pytest.param("global()", False, id="global of a namespaced thing"),
        pytest.param("app == 'web'", True, id="equal"),
        pytest.param("app=='web'", True, id="no spaces"),
        pytest.param("team == 'red'", False, id="equal needs the label"),
        pytest.param("team != 'red'", True, id="not equal without the label"),
        pytest.param("app != 'web'", False, id="not equal"),
        pytest.param("app in {'cart', 'web'}", True, id="in"),
        pytest.param("app in{'cart','web',}", True, id="in with a last comma"),
        pytest.param("app in {}", False, id="in nothing"),
        pytest.param("team in {'red'}", False, id="in needs the label"),
        pytest.param("team not in {'red'}", True, id="not in without the label"),
        pytest.param("app notin {'web'}", False, id="notin in one word"),
        pytest.param("app contains 'e'", True, id="contains"),
        pytest.param("app starts with 'w'", True, id="starts with"),
        pytest.param("app startswith 'x'", False, id="startswith in one word"),
        pytest.param("app ends  with 'eb'", True, id="ends with"),
        pytest.param("team contains ''", False, id="contains needs the label"),
        pytest.param("has(app)", True, id="has"),
        pytest.param("!has(team)", True, id="not has"),
        pytest.param("!app == 'web'", False, id="not binds the whole comparison"),
        pytest.param("!!has(app)", True, id="twice not"),
        pytest.param("has(app) || has(x) && has(y)", True, id="and binds tighter"),
        pytest.param("(has(app) || has(x)) && has(y)", False, id="parentheses"),
        pytest.param("has == 'x' || in in {'x'}", False, id="words as labels"),
    ],
)
def test_selector_matches_labels(text: str, expected: bool) -> None:
    assert selector.parse(text).matches(WEB) is expected


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        pytest.param("a=='x'&&b!='y'", '(a == "x" && b != "y")', id="and"),
        pytest.param("(a == 'x') && (b in {'z','y','z'})", '(a == "x" && b in {"y", "z"})', id="sorted set"),
        pytest.param("a == 'x\"y'", "a == 'x\"y'", id="double quote inside"),
        pytest.param("!(has(a) || all())", "!(has(a) || all())", id="not of or"),
        pytest.param("a && b", None, id="no comparison"),
    ],
)
def test_selector_renders_canonically(text: str, canonical: str | None) -> None:
    if canonical is None:
        with pytest.raises(ValueError, match="position 2"):
            selector.parse(text)
    else:
        assert selector.parse(text).render() == canonical


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        pytest.param("app = 'web'", 4, "expected ==", id="single equals"),
        pytest.param("app == web", 7, "text in quotes", id="no quotes"),
        pytest.param("app == 'web", 7, "text in quotes", id="no closing quote"),
        pytest.param("(has(a)", 7, r"&& or \|\| or \)", id="no closing parenthesis"),
        pytest.param("has (a)", 4, "expected ==", id="space after has"),
        pytest.param("has(a) has(b)", 7, "the end", id="two claims"),
        pytest.param("a in {'x' 'y'}", 10, "expected , or }", id="no comma"),
        pytest.param("a ==\n'x'", 4, "quotes", id="line break is no space"),
        pytest.param("has(a) &&", 9, "a label", id="nothing after and"),
        pytest.param("a" * 513 + " == 'x'", 513, "512", id="long label"),
        pytest.param("(" * 2000, 101, "100", id="too deep"),
    ],
)
def test_bad_selector_names_position_and_reason(text: str, position: int, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"position {position}: .*{reason}"):
        selector.parse(text)


_labels = st.text(string.ascii_letters + string.digits + "_./-", min_size=1, max_size=8)
_values = st.one_of(st.text("ab' {}&|", max_size=4), st.text('ab" ', max_size=4))
_leaves = st.one_of(
    st.just(selector.All()),
    st.just(selector.Global()),
    st.builds(selector.Has, _labels),
    st.builds(selector.Test, _labels, st.sampled_from(selector.Operator), _values),
    st.builds(
        selector.Member,
        _labels,
        st.sets(_values, max_size=3).map(lambda found: tuple(sorted(found))),
        st.booleans(),
    ),
)


def _branches(inner: st.SearchStrategy[selector.Selector]) -> st.SearchStrategy[selector.Selector]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        inner.map(selector.negate), st.builds(selector.And, several), st.builds(selector.Or, several)
    )


@hypothesis.given(st.recursive(_leaves, _branches, max_leaves=8))
def test_parse_reads_what_render_wrote(tree: selector.Selector) -> None:
    assert selector.parse(tree.render()) == tree


def _field(value: object) -> manifest.Field:
    return manifest.Field(manifest.Document("np.yaml", 1, {}), "spec.podSelector", value)


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        pytest.param({}, "all()", id="empty"),
        pytest.param({"matchLabels": {"b": "2", "a": "1"}}, '(a == "1" && b == "2")', id="labels are sorted"),
        pytest.param(
            {"matchLabels": {"a": ""}, "matchExpressions": [
                {"key": "e", "operator": "NotIn", "values": ["y", "x"]},
                {"key": "d", "operator": "DoesNotExist"}]},
            '(a == "" && e not in {"x", "y"} && !has(d))', id="expressions follow as written",
        ),
    ],
)  # fmt: skip
def test_kubernetes_selector_is_converted(value: object, canonical: str) -> None:
    assert selector.from_kubernetes(_field(value)).render() == canonical


@pytest.mark.parametrize(
    ("value", "path"),
    [
        pytest.param({"matchLabel": {}}, "spec.podSelector.matchLabel", id="unknown field"),
        pytest.param({"matchLabels": {"a": "it's"}}, "spec.podSelector.matchLabels.a", id="bad value"),
        pytest.param({"matchLabels": {"a": 1}}, "spec.podSelector.matchLabels.a", id="number as value"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "In"}]},
                     "spec.podSelector.matchExpressions[0]", id="in without values"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]},
                     "spec.podSelector.matchExpressions[0].values", id="exists with values"),
    ],
)  # fmt: skip
def test_bad_kubernetes_selector_names_field(value: object, path: str) -> None:
    with pytest.raises(errors.ManifestError) as caught:
        selector.from_kubernetes(_field(value))
    assert caught.value.field == path
