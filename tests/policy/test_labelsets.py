"""Selectors asked of columns, against each label set asked by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy import labelsets, selector

LABELS = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", selector.NAMESPACE_LABEL]), st.sampled_from(["x", "xy", ""])),
    max_size=8,
)


@pytest.mark.parametrize(
    "text",
    [
        "all()", "global()", "has(a)", "!has(a)", "a == 'x'", "a != 'x'", "a == 'nowhere'", "c != 'x'",
        "a in {'x', 'xy'}", "a in {}", "a not in {'x'}", "c not in {'x'}", "a contains 'y'", "c contains 'y'",
        "a starts with 'x'", "a ends with 'y'", "a == 'x' && b == 'x'", "a == 'x' || !(has(b) && global())",
    ],
)  # fmt: skip
@given(given_labels=LABELS)
def test_columns_answer_as_each_set_does(text: str, given_labels: list[dict[str, str]]) -> None:
    node = selector.parse(text)
    sets = labelsets.LabelSets(given_labels)
    for _ in range(2):  # the second time from memory
        found = sets.matching(node)[sets.codes] if given_labels else np.zeros(0, bool)
        assert found.tolist() == [node.matches(labels) for labels in given_labels]
    assert len(sets) == len({frozenset(labels.items()) for labels in given_labels})


def test_what_is_no_selector_is_refused() -> None:
    with pytest.raises(TypeError, match="not a selector node"):
        labelsets.LabelSets([{}]).matching("app")  # type: ignore[arg-type]
