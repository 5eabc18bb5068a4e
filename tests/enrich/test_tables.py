"""What feeds say, as rows of the ledger's tables and back."""

from __future__ import annotations

import pathlib
import sys

import pyarrow as pa
from hypothesis import given

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import told

from enrich import changes, identity, tables
from model import address, columns, enums
from store import ddl


def _table(name: str, rows: dict[str, list[object]]) -> pa.Table:
    return pa.Table.from_batches([columns.batch(ddl.TABLES[name], rows)])


@given(told.CHANGES)
def test_what_is_written_is_read_again(said: changes.Changes) -> None:
    claims = _table("endpoints", tables.endpoints(said.claims, 7))
    ports = _table("services", tables.services(said.ports, 7))
    revisions = _table("policies", tables.policies(said.revisions, 7))
    found = changes.Changes(
        claims=tuple(tables.claims(claims)), ports=tuple(tables.ports(ports)),
        revisions=tuple(tables.revisions(revisions)),
    )  # fmt: skip
    assert found == said
    assert [one.document.body for one in found.revisions] == [one.document.body for one in said.revisions]
    assert set(columns.numbers(claims.column("written").combine_chunks()).tolist()) <= {7}


def test_claim_of_no_time_is_none_that_lasts() -> None:
    """What a manifest has taken back may have begun at no known time, which is 1970."""
    who = identity.Identity(kind=enums.EndpointKind.POD)
    taken_back = identity.Claim(
        address=address.pack("10.0.0.1"),
        uid="u",
        identity=who,
        valid_from=0,
        sure_from=0,
        sure_to=0,
        valid_to=0,
    )
    (found,) = tables.claims(_table("endpoints", tables.endpoints([taken_back], 7)))
    assert found.valid_to == 1
