"""Who had which address when, as the ledger has been told: what names are made from elsewhere.

The latest word about a claim is what counts, merged or not. Whoever has read all of it once asks from then on
for what was written since; that reads the granules alone that were written to. On a cluster all words about
one claim are on one shard.

Measured with 300,000 claims on a server, on two cores: all of them 180 ms, those of the last hour 41 ms, and
a poll 4 to 9 ms: 200 new words lie in a part of their own, or in one granule of 41 once they are merged.
"""

# ruff: noqa: S608 (what is pasted into a statement here are our own names and numbers)
from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from store import cluster, ddl, transport

_KEYS = {
    "endpoints": "address, uid, valid_from",
    "services": "address, port, protocol, namespace, service, port_name, valid_from",
    "policies": "kind, api_group, namespace, name, valid_from",
    "watched": "source",
    "label_sets": "labels_id",
}
"""What a claim is known by."""

_SETS_AT_ONCE = 10_000
"""How many numbers are asked for in one statement."""


def endpoints(
    ledger: transport.Transport, written_after: int | None = None, ended_after: int = 0
) -> pa.Table:
    """Claims to addresses (schema `ddl.ENDPOINTS`), each with the latest word about it.

    Args:
        ledger: Where to ask.
        written_after: Only what was written after that moment, in nanoseconds since 1970, whatever it says;
            None for all claims that are open or have ended late enough.
        ended_after: Where all are asked, those that had ended by then (nanoseconds since 1970) are left out.

    Raises:
        StoreError: If the ledger does not answer, here and in every function below. On a cluster all of its
            shards must.
    """
    return _latest(ledger, "endpoints", written_after, ended_after)


def services(ledger: transport.Transport, written_after: int | None = None, ended_after: int = 0) -> pa.Table:
    """Claims of services to ports of addresses (schema `ddl.SERVICES`), as `endpoints` has them."""
    return _latest(ledger, "services", written_after, ended_after)


def policies(ledger: transport.Transport, written_after: int | None = None, ended_after: int = 0) -> pa.Table:
    """Revisions of what policies are read from (schema `ddl.POLICIES`), as `endpoints` has them."""
    return _latest(ledger, "policies", written_after, ended_after)


def labels(ledger: transport.Transport, ids: Iterable[int]) -> pa.Table:
    """Label sets by their numbers (schema `ddl.LABEL_SETS`), as far as the ledger knows them."""
    wanted = sorted(set(map(int, ids)))
    found = [
        _asked(ledger, "label_sets", f"labels_id IN ({', '.join(map(str, some))})", "labels_id")
        for some in (wanted[at : at + _SETS_AT_ONCE] for at in range(0, len(wanted), _SETS_AT_ONCE))
    ]
    return pa.concat_tables(found) if found else ddl.LABEL_SETS.empty_table()


def watched(ledger: transport.Transport) -> pa.Table:
    """From when until when what is said here is complete, by its source (schema `ddl.WATCHED`)."""
    return _asked(ledger, "watched", "1", "written DESC")


def _latest(ledger: transport.Transport, table: str, written_after: int | None, ended_after: int) -> pa.Table:
    if written_after is not None:
        # whatever is said of a claim before that moment is no longer the latest word
        return _asked(ledger, table, f"written > {_moment(written_after)}", "written DESC")
    living = f"toUnixTimestamp64Nano(valid_to) = 0 OR valid_to > {_moment(ended_after)}"
    return _asked(ledger, f"{table} FINAL", living, _KEYS[table])


def _asked(ledger: transport.Transport, table: str, test: str, order: str) -> pa.Table:
    name = table.partition(" ")[0]
    schema = ddl.TABLES[name]
    once = "" if " " in table else f" LIMIT 1 BY {_KEYS[name]}"
    sql = f"SELECT {', '.join(schema.names)} FROM {table} WHERE {test} ORDER BY {order}{once}"
    with cluster.whole(ledger):
        return _shaped(ledger.query(sql, {}), schema)


def _shaped(found: pa.Table, schema: pa.Schema) -> pa.Table:
    """Columns of the types that the schema has; ClickHouse may have dictionaries instead of texts."""
    cast = [found.column(field.name).cast(field.type) for field in schema]
    return pa.Table.from_arrays(cast, schema=schema)


def _moment(nanoseconds: int) -> str:
    return f"fromUnixTimestamp64Nano({int(nanoseconds)}, 'UTC')"
