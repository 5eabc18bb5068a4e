"""A ledger on a cluster: one on each host, and tables over them that answer as one.

Each host has the whole of an ordinary ledger, made and migrated like any other, in a database of its own,
named like that of the URL with ``_local`` behind it. Views fill its rollups there. In the database of the
URL each host has the same tables once more as Distributed ones, which hand out rows to the shards and ask
all of them; so rows and questions may go to any host.

All DDL goes to each host by itself, with Keeper or without: what runs without Keeper is then what also runs
with it, and no statement waits in a queue for a host that is away.
"""

# ruff: noqa: S608 (what is pasted into a statement here are our own names)
from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Sequence

import pyarrow as pa

from model import errors
from store import ddl, location, migrations, parameters, transport

SHARDED_BY = {
    "flows": "cityHash64(src_address, src_port, dst_address, dst_port, protocol)",
    "label_sets": "cityHash64(labels_id)",
    "completeness": "cityHash64(node)",
    "policy_hits": "cityHash64(node)",
    "endpoints": "cityHash64(address)",
    "services": "cityHash64(address)",
    "policies": "cityHash64(kind, api_group, namespace, name)",
    "watched": "cityHash64(source)",
}
"""What decides which shard has a row.

Flows lie together by connection: what two nodes and all intervals say of it is on one shard, while even a
single busy edge spreads over all. The same rows always go the same way, so that a batch which is offered
again finds its tokens on each shard. Where a later row replaces an earlier one, both have to be on one
shard; what a node says about itself stays in one piece. No rows come in by the other tables.
"""

TOKEN_SECONDS = 7 * 86_400
"""Replicated tables forget tokens with age, too; so long may a spool have to wait."""


def statements(name: str, local: str) -> list[str]:
    """What makes the tables over all shards, in the database of the URL; again, it changes nothing.

    Args:
        name: The cluster's.
        local: The database which has the rows on each host.
    """
    return [
        *(_distributed(table, name, local) for table in (*ddl.STORED, "schema_migrations")),
        _ANSWERING.format(name=name),
        *(statement for statement in ddl.statements() if statement.startswith("CREATE OR REPLACE VIEW")),
    ]


# A row from each shard that answers, for whoever asks which do; no other table leaves out a shard.
_ANSWERING = """\
CREATE OR REPLACE TABLE shards (dummy UInt8)
ENGINE = Distributed('{name}', 'system', 'one')
SETTINGS skip_unavailable_shards = 1"""


def replicated(statement: str) -> str:
    """A statement of the ledger's DDL, for tables whose replicas share rows and tokens through Keeper.

    The path is spelled out, since each replica makes its own table; the macros are the server's.
    """
    statement = re.sub(
        r"non_replicated_deduplication_window = (\d+)",
        r"\g<0>, replicated_deduplication_window = \1, "
        f"replicated_deduplication_window_seconds = {TOKEN_SECONDS}",
        statement,
    )
    return re.sub(r"\bENGINE = (\w*MergeTree)(?:\((\w+)\))?", _replicated_engine, statement)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One of the parts of a cluster.

    Attributes:
        number: From 1.
        count: How many there are.
        hosts: Its replicas, as ``host:port``.
        answers: Whether one of them does.
    """

    number: int
    count: int
    hosts: tuple[str, ...]
    answers: bool

    def __str__(self) -> str:
        words = "answers" if self.answers else "does not answer"
        return f"shard {self.number} of {self.count} ({', '.join(self.hosts)}) {words}"


def named(url: str) -> bool:
    """Whether a URL names a cluster.

    Raises:
        SetupError: If the URL is wrong.
    """
    ports = location.PORTS.get(url.partition(":")[0])
    return ports is not None and bool(location.parse(url, ports).cluster)


def place(ledger: migrations.Ledger) -> tuple[str, str]:
    """The cluster that a ledger is on, and its database there that has the rows.

    Both are empty for a ledger on one server.

    Raises:
        StoreError: If the ledger does not answer, here and in every function below.
    """
    sql = (
        f"SELECT {_CLUSTER}, {_LOCAL} FROM system.tables "
        "WHERE database = currentDatabase() AND name = 'flows'"
    )
    for row in ledger.query(sql, {}).to_pylist():
        return row["cluster"], row["local"]
    return "", ""


_CLUSTER = "if(engine = 'Distributed', splitByChar('''', engine_full)[2], '') AS cluster"
_LOCAL = "if(engine = 'Distributed', splitByChar('''', engine_full)[4], '') AS local"


def shards(ledger: migrations.Ledger) -> list[Shard]:
    """The shards of the cluster that a ledger is on; none for a ledger on one server."""
    name, _ = place(ledger)
    if not name:
        return []
    answering = _texts(ledger, "SELECT toString(shardNum()) AS shard FROM shards")
    sql = (
        "SELECT shard_num, groupArray(concat(host_name, ':', toString(port))) AS hosts FROM system.clusters "
        "WHERE cluster = {name:String} GROUP BY shard_num ORDER BY shard_num"
    )
    rows = ledger.query(sql, {"name": name}).to_pylist()
    return [
        Shard(
            number=row["shard_num"], count=len(rows), hosts=tuple(row["hosts"]),
            answers=str(row["shard_num"]) in answering,
        )
        for row in rows
    ]  # fmt: skip


def lost(present: list[Shard]) -> str:
    """Which shards do not answer, in words; empty if all do."""
    return "; ".join(str(shard) for shard in present if not shard.answers)


@contextlib.contextmanager
def whole(ledger: migrations.Ledger) -> Iterator[None]:
    """Questions to all of a ledger. One that fails because a shard is away says which.

    Raises:
        StoreError: A temporary one, then.
    """
    try:
        yield
    except errors.StoreError as error:
        said = ""
        with contextlib.suppress(errors.StoreError):  # it may be the very host that we ask
            said = lost(shards(ledger))
        if not said:
            raise
        raise errors.StoreError(
            f"{said}: nothing is answered without its rows", code=error.code, temporary=True
        ) from error


def stored(ledger: migrations.Ledger) -> migrations.Ledger:
    """Where to ask what a ledger's tables hold and how large they are: on a cluster, all shards."""
    name, local = place(ledger)
    return _Stored(ledger, name, local) if name else ledger


class Cluster:
    """All hosts of a cluster, to make and migrate the ledger on it.

    Args:
        url: A ledger that is, or shall be, on the cluster that it names. If it names as many hosts as the
            cluster has, these are they. If not, they are those that the server knows, at its ports for the
            native protocol, and at the URL's own for HTTP and TLS.

    Raises:
        SetupError: If the URL is wrong, or its hosts are not the cluster.
        StoreError: If one of the hosts does not answer.
    """

    def __init__(self, url: str) -> None:
        self._url, self._at = url, location.parse(url, location.PORTS[url.partition(":")[0]])
        self._name, self._undo = _identifier(self._at.cluster), contextlib.ExitStack()
        try:
            self._database, hosts = self._find()
            self._servers = [self._open(host, "") for host in hosts]
            self._local = [self._open(host, f"{self._database}_local") for host in hosts]
            self._over = [self._open(host, self._database) for host in hosts]
            self._require_all()
        except BaseException:
            self.close()
            raise

    @property
    def takes_rows(self) -> bool:
        """Whether all hosts let this user write."""
        return all(server.takes_rows for server in self._servers)

    @property
    def local(self) -> Sequence[transport.Transport]:
        """The ledger of each host, which has its rows alone."""
        return self._local

    def version(self) -> int:
        """The schema version of the host that lags; 0 where one has no ledger yet."""
        return min(self._versions())

    def bring_up_to_date(self, ages: ddl.Ages) -> tuple[int, int]:
        """Make the ledger on all hosts, or bring it to today's version, with its rows (`migrations`).

        The tables of all hosts come first, so that no host hands out rows for which another has no table yet.

        Returns:
            The version before, 0 for none, and the version now.

        Raises:
            StoreError: If a host has a version that we do not know, or another ledger; then nothing changes.
        """
        found = self._versions()
        for version in filter(None, found):
            migrations.require_known(version)
        self._require_ours()
        for server in self._servers:
            for database in (self._database, f"{self._database}_local"):
                server.command(f"CREATE DATABASE IF NOT EXISTS `{database}`", {})
        for ledger in self._local:
            migrations.bring_up_to_date(_Replicated(ledger) if self._at.replicated else ledger, ages)
        for ledger in self._over:
            for statement in statements(self._name, f"{self._database}_local"):
                ledger.command(statement, {})
        return min(found), ddl.SCHEMA_VERSION

    def close(self) -> None:
        """Let go of all hosts."""
        self._undo.close()

    def _find(self) -> tuple[str, list[tuple[str, int]]]:
        """The database, and the hosts of the cluster."""
        sql = (
            "SELECT host_name, port FROM system.clusters WHERE cluster = {name:String} "
            "ORDER BY shard_num, replica_num"
        )
        with contextlib.closing(transport.open(location.moved(self._url, self._at.hosts, ""))) as one:
            database = _identifier(self._at.database or _texts(one, "SELECT currentDatabase() AS name")[0])
            known = one.query(sql, {"name": self._name}).to_pylist()
        if not known:
            raise errors.SetupError(
                f"{self._at} knows no cluster {self._name}: name one of its remote_servers"
            )
        if len(known) == len(self._at.hosts):
            return database, list(self._at.hosts)
        own = self._at.scheme == "clickhouse" and self._at.tls is None
        return database, [(row["host_name"], row["port"] if own else self._at.hosts[0][1]) for row in known]

    def _open(self, host: tuple[str, int], database: str) -> transport.Transport:
        opened = transport.open(location.moved(self._url, [host], database))
        self._undo.callback(opened.close)
        return opened

    def _require_all(self) -> None:
        """What we reach is the cluster, each host once."""
        who = "SELECT concat(hostName(), ':', toString(tcpPort())) AS name FROM {} ORDER BY name"
        reached = [_texts(server, who.format("system.one"))[0] for server in self._servers]
        if sorted(reached) != _texts(
            self._servers[0], who.format(f"clusterAllReplicas('{self._name}', system.one)")
        ):
            raise errors.SetupError(
                f"{', '.join(reached)} are not the hosts of the cluster {self._name}: name each of them"
            )

    def _versions(self) -> list[int]:
        sql, bound = "SELECT name FROM system.databases WHERE name = {name:String}", f"{self._database}_local"
        return [
            migrations.version(ledger) if _texts(server, sql, {"name": bound}) else 0
            for server, ledger in zip(self._servers, self._local, strict=True)
        ]

    def _require_ours(self) -> None:
        """Nobody's tables stand where ours belong: they would be taken for ours."""
        sql = f"SELECT {_CLUSTER} FROM system.tables WHERE database = {{name:String}} AND name = 'flows'"
        for server in self._servers:
            for name in _texts(server, sql, {"name": self._database}):
                if name != self._name:
                    where = f"on the cluster {name}" if name else "on one server"
                    raise errors.StoreError(
                        f"the database {self._database} has a ledger {where}: choose another database"
                    )


class _Replicated:
    """A ledger whose new tables are replicated ones."""

    def __init__(self, ledger: migrations.Ledger) -> None:
        self._ledger = ledger

    def query(self, sql: str, parameters: parameters.Parameters) -> pa.Table:
        return self._ledger.query(sql, parameters)

    def command(self, sql: str, parameters: parameters.Parameters) -> None:
        self._ledger.command(replicated(sql), parameters)


class _Stored:
    """A ledger that asks the system tables of all shards, about the database that has the rows."""

    def __init__(self, ledger: migrations.Ledger, name: str, local: str) -> None:
        self._ledger, self._name, self._local = ledger, name, local

    def query(self, sql: str, parameters: parameters.Parameters) -> pa.Table:
        everywhere = re.sub(r"\bsystem\.\w+", rf"cluster('{self._name}', \g<0>)", sql)
        return self._ledger.query(everywhere.replace("currentDatabase()", f"'{self._local}'"), parameters)

    def command(self, sql: str, parameters: parameters.Parameters) -> None:
        self._ledger.command(sql, parameters)


def _distributed(table: str, name: str, local: str) -> str:
    key = f", {SHARDED_BY[table]}" if table in SHARDED_BY else ""
    return (
        f"CREATE OR REPLACE TABLE {table} AS `{local}`.{table}\n"
        f"ENGINE = Distributed('{name}', '{local}', '{table}'{key})"
    )


def _replicated_engine(match: re.Match[str]) -> str:
    version = f", {match[2]}" if match[2] else ""
    path = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"
    return f"ENGINE = Replicated{match[1]}({path}{version})"


def _identifier(name: str) -> str:
    """A name that can be pasted into a statement."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise errors.SetupError(
            f"no database or cluster can be called {name!r} here: use letters, digits, _ and -"
        )
    return name


def _texts(ledger: migrations.Ledger, sql: str, values: parameters.Parameters | None = None) -> list[str]:
    return [str(text) for text in ledger.query(sql, values or {}).column(0).to_pylist()]
