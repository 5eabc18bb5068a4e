"""Label sets and their numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich import identity

LABELS = st.dictionaries(st.text("ab=,", max_size=3), st.text("ab=,", max_size=3), max_size=3)


@pytest.mark.parametrize(
    ("labels", "number"),
    [
        pytest.param({}, 0, id="none"),
        pytest.param({"app": "web"}, 5244533706359257540, id="one"),
        pytest.param({"app": "web", "part": "größe"}, 7718135037965467172, id="two and beyond ASCII"),
    ],
)
def test_labels_id_is_the_same_for_ever(labels: dict[str, str], number: int) -> None:
    """It is in ledgers that are already written."""
    assert identity.labels_id(labels) == number


@given(LABELS)
def test_labels_id_knows_no_order(labels: dict[str, str]) -> None:
    assert identity.labels_id(dict(reversed(labels.items()))) == identity.labels_id(labels)


@given(LABELS, LABELS)
def test_labels_id_tells_label_sets_apart(one: dict[str, str], other: dict[str, str]) -> None:
    """Whatever the separators inside names and values."""
    assert (identity.labels_id(one) == identity.labels_id(other)) == (one == other)


@given(LABELS)
def test_labels_id_fits_its_column(labels: dict[str, str]) -> None:
    assert 0 <= identity.labels_id(labels) < 2**64
