"""What a shape leaves of a value."""

from __future__ import annotations

import copy
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from enrich.kubernetes import slim
from enrich.kubernetes.slim import KEEP

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)
SHAPES = {
    "all": KEEP,
    "members": {"a": KEEP, "b": {"c": slim.own}},
    "items": [{"a": KEEP}],
    "shared": slim.shared([{"a": KEEP}]),
    "beginning": slim.beginning("a", "b"),
    "without": slim.without("a"),
    "where": slim.where("a", ("x",), {"a": KEEP, "b": KEEP}),
}


@pytest.mark.parametrize(
    ("shape", "value", "left"),
    [
        ("all", {"z": [1, {"y": None}]}, {"z": [1, {"y": None}]}),
        ("members", {"a": 1, "b": {"c": 2, "d": 3}, "e": 4}, {"a": 1, "b": {"c": 2}}),
        ("members", ["no", "mapping"], ["no", "mapping"]),
        ("members", {"b": "text"}, {"b": "text"}),
        ("items", [{"a": 1, "b": 2}, 7], [{"a": 1}, 7]),
        ("items", {"no": "list"}, {"no": "list"}),
        ("shared", [{"a": 1, "b": 2}], [{"a": 1}]),
        ("beginning", {"ab": 1, "cb": 2}, {"ab": 1}),
        ("without", {"a": 1, "b": 2}, {"b": 2}),
        ("where", [{"a": "x", "c": 1}, {"a": "y"}, 7], [{"a": "x"}, 7]),
    ],
)
def test_shape_leaves(shape: str, value: Any, left: Any) -> None:
    assert slim.cut(value, SHAPES[shape]) == left


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@hypothesis.given(value=JSON)
def test_any_value_can_be_cut_and_is_left_alone(shape: slim.Shape, value: Any) -> None:
    before = copy.deepcopy(value)
    once = slim.cut(value, shape)
    assert value == before
    assert slim.cut(once, shape) == once


def test_equal_parts_are_one_object() -> None:
    shape = slim.shared(KEEP)
    assert slim.cut({"app": ["web"]}, shape) is slim.cut({"app": ["web"]}, shape)
    assert slim.cut({"n": 1}, shape) is not slim.cut({"n": True}, shape)
