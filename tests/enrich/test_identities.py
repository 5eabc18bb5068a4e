"""Identities as columns, judged by the identities themselves."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich import identities, identity
from model import columns, enums

WORDS = st.sampled_from(["", "a", "b", "größe", "z"])
IDENTITIES = st.lists(
    st.builds(
        identity.Identity, kind=st.sampled_from(enums.EndpointKind), namespace=WORDS, workload=WORDS,
        pod=WORDS, node=WORDS, labels_id=st.integers(0, 2**64 - 1),
    ),
    min_size=1, max_size=100,
)  # fmt: skip


@given(IDENTITIES, st.data())
def test_columns_say_what_the_identities_say(whos: list[identity.Identity], data: st.DataObject) -> None:
    known = identities.Identities()
    codes = [known.code(who) for who in whos]
    asked = data.draw(st.lists(st.sampled_from(codes), max_size=20))
    end = known.gathered(np.array(asked, np.int32))
    listed = list(known.some(range(len(known))))
    for name in ("kind", "namespace", "pod"):
        column = end.text(name)
        column.validate(full=True)
        assert column.type == columns.TEXT
        assert column.to_pylist() == [getattr(listed[code], name) for code in asked]
    assert end.labels().to_pylist() == [listed[code].labels_id for code in asked]
    words = [known.word(number) for number in known.texts("node")[asked].tolist()]
    assert words == [listed[code].node for code in asked]


@given(IDENTITIES)
def test_each_identity_has_one_number(whos: list[identity.Identity]) -> None:
    known = identities.Identities()
    codes = [known.code(who) for who in whos]
    assert len(known) == len(set(whos)) == len(set(codes))
    assert list(known.some(codes)) == whos


def test_column_holds_no_text_that_nobody_of_it_has() -> None:
    """A batch of few flows stays small, however many pods there are."""
    known = identities.Identities()
    codes = [known.code(identity.Identity(kind=enums.EndpointKind.POD, pod=f"pod-{n}")) for n in range(1000)]
    column = known.gathered(np.array(codes[10:12], np.int32)).text("pod")
    assert column.dictionary == pa.array(["pod-10", "pod-11"])


@pytest.mark.parametrize(("text", "known"), [("node-1", True), ("node-2", False), ("", True)])
def test_number_of_a_text(text: str, known: bool) -> None:
    found = identities.Identities()
    found.code(identity.Identity(kind=enums.EndpointKind.NODE, node="node-1"))
    assert (found.number(text) >= 0) is known
