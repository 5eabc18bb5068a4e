"""What feeds say as rows of the ledger's tables, and back.

A time of 0, 1970, in the place of an end is one that nobody knows of.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa

from enrich import changes, contents, identity
from model import columns, enums, manifest

_AT_ONCE = 1_000
"""Rows that are objects at the same time."""

_IDENTITY = ("namespace", "workload_kind", "workload", "pod", "node", "zone", "labels_id", "service_account",
             "ports", "probe_ports")  # fmt: skip
_SHARED = ("kind", "namespace", "workload_kind", "workload", "node", "zone", "service_account", "ports",
           "probe_ports", "service", "port_name", "api_group", "tier")  # fmt: skip
"""Texts that are the same in many rows, and become one and the same object."""
_PORT = ("address", "port", "protocol", "namespace", "service", "port_name")
_REVISION = ("kind", "api_group", "namespace", "name", "tier")


def endpoints(claims: Sequence[identity.Claim], written: int) -> dict[str, list[Any]]:
    """Columns of the table `endpoints`.

    Args:
        claims: What to write.
        written: When that is, in ns since 1970; here and below.
    """
    who = [claim.identity for claim in claims]
    return {
        **{name: [getattr(claim, name) for claim in claims] for name in ("address", "uid")},
        "kind": [one.kind.value for one in who],
        **{name: [getattr(one, name) for one in who] for name in _IDENTITY},
        "valid_from": [claim.valid_from for claim in claims],
        "sure_from": [claim.sure_from for claim in claims],
        "sure_to": [_end(claim.sure_to) for claim in claims],
        "valid_to": [_end(claim.valid_to) for claim in claims],
        "written": [written] * len(claims),
    }  # fmt: skip


def services(ports: Sequence[identity.ServicePort], written: int) -> dict[str, list[Any]]:
    """Columns of the table `services`; a service is what it says, so that all of it is sure."""
    starts, ends = [port.valid_from for port in ports], [_end(port.valid_to) for port in ports]
    return {
        **{name: [getattr(port, name) for port in ports] for name in _PORT},
        "valid_from": starts, "sure_from": starts, "sure_to": ends, "valid_to": ends,
        "written": [written] * len(ports),
    }  # fmt: skip


def policies(revisions: Collection[changes.Revision], written: int) -> dict[str, list[Any]]:
    """Columns of the table `policies`."""
    return {
        **{name: [getattr(one, name) for one in revisions] for name in _REVISION},
        "revision": [one.digest for one in revisions],
        "document": [contents.text(one.document) for one in revisions],
        "valid_from": [one.valid_from for one in revisions],
        "valid_to": [_end(one.valid_to) for one in revisions],
        "written": [written] * len(revisions),
    }


def claims(table: pa.Table) -> Iterator[identity.Claim]:
    """What rows of `endpoints` say."""
    for row in _rows(table):
        who = identity.Identity(
            kind=enums.EndpointKind(row["kind"]), **{name: row[name] for name in _IDENTITY}
        )
        yield identity.Claim(
            address=row["address"], uid=row["uid"], identity=who, valid_from=row["valid_from"],
            sure_from=row["sure_from"], sure_to=_known(row["sure_to"]), valid_to=_known(row["valid_to"]),
        )  # fmt: skip


def ports(table: pa.Table) -> Iterator[identity.ServicePort]:
    """What rows of `services` say."""
    for row in _rows(table):
        yield identity.ServicePort(
            **{name: row[name] for name in _PORT},
            valid_from=row["valid_from"],
            valid_to=_known(row["valid_to"]),
        )


def revisions(table: pa.Table) -> Iterator[changes.Revision]:
    """What rows of `policies` say."""
    for row in _rows(table):
        place = "/".join(filter(None, (row["kind"], row["namespace"], row["name"])))
        yield changes.Revision(
            **{name: row[name] for name in _REVISION}, digest=row["revision"],
            document=manifest.Document(place, 1, json.loads(row["document"])),
            valid_from=row["valid_from"], valid_to=_known(row["valid_to"]),
        )  # fmt: skip


class Revisions(Collection[changes.Revision]):
    """What rows of `policies` say, read one by one each time: for all as objects take ten times the space.

    Args:
        table: The rows.
    """

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[changes.Revision]:
        return revisions(self._table)

    def __contains__(self, one: object) -> bool:
        return any(one == each for each in self)


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=_AT_ONCE):
        plain = [
            columns.numbers(column).tolist()
            if column.type == columns.TIME
            else _shared(column)
            if name in _SHARED
            else column.to_pylist()
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        for values in zip(*plain, strict=True):
            yield dict(zip(batch.schema.names, values, strict=True))


def _shared(column: pa.Array[Any]) -> list[str]:
    encoded: Any = column.dictionary_encode()
    words = [sys.intern(word) for word in encoded.dictionary.to_pylist()]
    return [words[number] for number in columns.numbers(encoded.indices).tolist()]


def _end(moment: int) -> int:
    return 0 if moment == identity.FOREVER else max(moment, 1)


def _known(moment: int) -> int:
    return moment or identity.FOREVER
