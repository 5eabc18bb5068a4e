"""Claims as columns, against claims as objects."""

from __future__ import annotations

import pathlib
import sys

from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import told

from enrich import claims, identities, identity

LISTS = st.lists(told.CLAIMS, max_size=10)


def _plain(rows: claims.Rows, known: identities.Identities) -> set[tuple[object, ...]]:
    listed = list(known.some(range(len(known))))
    names = ("high", "low", "uid", "valid_from", "sure_from", "sure_to", "valid_to")
    return {(*(int(row[name]) for name in names), listed[row["owner"]]) for row in rows}


@given(LISTS, LISTS)
def test_later_words_take_the_place_of_earlier_ones(
    before: list[identity.Claim], later: list[identity.Claim]
) -> None:
    known = identities.Identities()
    found = claims.updated(claims.updated(claims.NONE, claims.rows(before, known)), claims.rows(later, known))
    last = {told.claim_key(one): one for one in (*before, *later)}
    expected = claims.rows([one for one in last.values() if one.valid_from < one.valid_to], known)
    assert _plain(found, known) == _plain(expected, known)
    assert len(found) == len(expected)
