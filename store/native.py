"""The one door to clickhouse-driver: a ledger on a ClickHouse server, by its native protocol.

The driver shakes hands, compresses, and reads what is not rows. Rows go from Arrow to the wire and back by
`store.blocks`, and never become Python objects: the driver's own way for columns would bring pandas into each
collector.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import queue
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

# Else it makes a table of all days from 1900 to 2299, 23 MB, in which we never look anything up.
os.environ.setdefault("CLICKHOUSE_DRIVER_LASY_DATE_LUT", "empty")

from clickhouse_driver import block, defines, protocol, reader, varint, writer
from clickhouse_driver import connection as driver
from clickhouse_driver import errors as driver_errors

from model import errors
from store import blocks, ddl, exceptions, location, parameters, rows

TIMEOUT_SECONDS = 60.0

_IDLE = 4
"""How many connections are kept for the next statement."""

_SERVER = {
    "quota_key": "",
    "opentelemetry_traceparent": None,
    "opentelemetry_tracestate": "",
    "server_side_params": True,
    "strings_as_bytes": False,
    "use_numpy": False,
}
"""How the driver is to treat what it reads itself; the first three are asked for and not used."""

_ARROW_FORMATS = {"Arrow": pa.ipc.new_file, "ArrowStream": pa.ipc.new_stream}
_ROW_FORMATS = {
    "CSV": "CSV", "JSONEachRow": "JSONEachRow", "JSONLines": "JSONEachRow",
    "JSONCompactEachRow": "JSONCompactEachRow", "TSV": "TSV", "TSVRaw": "TSVRaw", "TabSeparated": "TSV",
    "TabSeparatedRaw": "TSVRaw",
}  # fmt: skip
"""Formats in which a row can be written by itself, and the names by which a server writes one."""

# What the driver logs are tracebacks of failures that we raise, count and log ourselves.
logging.getLogger("clickhouse_driver").setLevel(logging.CRITICAL)


class Server:
    """The ledger at ``clickhouse://host:port/database`` (`store.location`).

    Nothing is asked of the server before the ledger is used, so that it may be away.
    Threads may share it; each statement has a connection for itself. Where the URL names several hosts, a
    new connection goes to the first that answers.

    Raises:
        SetupError: If the URL is wrong.
    """

    takes_rows = True

    def __init__(self, url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._at = location.parse(url, location.PORTS["clickhouse"], timeout=timeout_seconds)
        self._tls = self._at.tls.context() if self._at.tls else None
        self._idle: queue.LifoQueue[_Connection] = queue.LifoQueue(_IDLE)
        self._closed = False

    def query(self, sql: str, parameters: parameters.Parameters) -> pa.Table:
        """The rows that a statement selects; anything but reading is refused.

        Raises:
            StoreError: If the ledger refuses, with its own words, or cannot be reached.
        """
        return self._table(sql, parameters, {})

    def query_bytes(
        self,
        sql: str,
        parameters: parameters.Parameters,
        output_format: str,
        settings: parameters.Parameters = parameters.NONE,
    ) -> bytes:
        """The answer in one of a few output formats, unless the statement names one of them itself.

        The native protocol knows no formats: Arrow is written here, and the server writes others row by row.

        Raises:
            StoreError: As for `query`; or if the format is not one of those.
        """
        named = re.search(r"\sFORMAT\s+(\w+)\s*;?\s*$", sql, re.IGNORECASE)
        statement, form = (sql[: named.start()], named[1]) if named else (sql, output_format)
        if form in _ARROW_FORMATS:
            table, sink = self._table(statement, parameters, settings), pa.BufferOutputStream()
            with _ARROW_FORMATS[form](sink, table.schema) as stream:
                stream.write_table(table)
            return sink.getvalue().to_pybytes()
        plain = form.removesuffix("WithNames")
        if plain not in _ROW_FORMATS or (plain != form and plain.startswith("JSONE")):
            known = ", ".join([*_ARROW_FORMATS, *_ROW_FORMATS])
            raise errors.StoreError(
                f"Code: 73. the native protocol has no format {form}; there are {known}, or ask by http://",
                code=73,
            )
        return self._by_row(statement, parameters, settings, _ROW_FORMATS[plain], with_names=plain != form)

    def insert(self, table: str, batch: pa.RecordBatch | pa.Table, *, token: str = "") -> None:
        """Append rows to one of `ddl.TABLES`, as one block.

        Raises:
            StoreError: If a column is missing or has the wrong type, or the server refuses or is away.
        """
        names = ", ".join(ddl.TABLES[table].names)
        for one in rows.fitting(table, batch).to_batches():  # one, or none where there is no row
            with self._connected(parameters.inserting(token)) as connection:
                connection.give(f"INSERT INTO {table} ({names}) VALUES", one)

    def command(self, sql: str, parameters: parameters.Parameters) -> None:
        """Run a statement that changes the ledger, such as one of its schema.

        Raises:
            StoreError: As for `insert`.
        """
        with self._connected({}) as connection:
            connection.ask(sql, parameters)

    def close(self) -> None:
        """Close what is idle now, and what is at work when it is done."""
        self._closed = True
        self._disconnect()

    def _disconnect(self) -> None:
        """Close what is idle now."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().disconnect()

    def _table(self, sql: str, values: parameters.Parameters, settings: parameters.Parameters) -> pa.Table:
        chosen = {**{name: str(value) for name, value in settings.items()}, "readonly": "1"}
        kept = not self._idle.empty()
        try:
            return self._ask(sql, values, chosen)
        except errors.StoreError as error:
            if error.code or not kept:
                raise
            return self._ask(sql, values, chosen)  # the server that a kept connection led to may be gone

    def _ask(self, sql: str, values: parameters.Parameters, settings: Mapping[str, str]) -> pa.Table:
        with self._connected(settings) as connection:
            return connection.ask(sql, values)

    def _by_row(
        self,
        sql: str,
        values: parameters.Parameters,
        settings: parameters.Parameters,
        form: str,
        *,
        with_names: bool,
    ) -> bytes:
        by_row = f"SELECT formatRow('{form}', *) AS row FROM ({sql})"  # noqa: S608 (the statement itself)
        table = self._table(by_row, values, settings)
        text = b"".join(part.buffers()[2] or b"" for part in table.column(0).chunks)
        if not with_names:
            return text
        names = self.query(f"DESCRIBE TABLE ({sql})", values).column("name").to_pylist()
        bound = {f"name{i}": str(name) for i, name in enumerate(names)}
        listed = ", ".join(f"{{{key}:String}}" for key in bound)
        head = self.query(f"SELECT formatRow('{form}', {listed}) AS row", bound)
        return str(head.column(0)[0].as_py()).encode() + text

    @contextlib.contextmanager
    def _connected(self, settings: Mapping[str, str]) -> Iterator[_Connection]:
        """A connection for one statement; one that failed is not used again."""
        if self._closed:
            raise errors.StoreError("the ledger has been closed")
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = _Connection(self._at, self._tls)
        try:
            with self._translated():
                connection.ready(settings)
                yield connection
        except errors.StoreError as error:
            connection.disconnect()
            if not error.code:  # it is gone, and the other connections with it
                self._disconnect()
            raise
        except BaseException:
            connection.disconnect()
            raise
        try:
            self._idle.put_nowait(connection)
        except queue.Full:
            connection.disconnect()
        if self._closed:
            self.close()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except driver_errors.ServerException as error:
            raise exceptions.refusal(error.message, error.code) from error
        except (driver_errors.Error, OSError, EOFError) as error:
            words = getattr(error, "message", "") or str(error) or "it has hung up"
            raise exceptions.unreachable(f"no ClickHouse answers at {self._at}: {words}") from error


@dataclasses.dataclass(frozen=True, slots=True)
class _Rows:
    """One block: names and types as the server gave them, and a column for each."""

    names: Sequence[str]
    types: Sequence[str]
    batch: pa.RecordBatch


class _Connection(driver.Connection):  # type: ignore[misc]  # the driver is not annotated
    """A connection of the driver's, whose blocks are Arrow batches."""

    def __init__(self, at: location.Location, tls: ssl.SSLContext | None) -> None:
        (host, port), *others = at.hosts
        super().__init__(
            host, port, database=at.database, user=at.user, password=at.password, secure=tls is not None,
            client_name="flowledger", compression="lz4", connect_timeout=at.connect_timeout,
            send_receive_timeout=at.connect_timeout, sync_request_timeout=at.connect_timeout,
            # the first that binds parameters; what came later is of no use here
            client_revision=defines.DBMS_MIN_PROTOCOL_VERSION_WITH_PARAMETERS,
            server_hostname=at.tls.server_name or None if at.tls else None, tcp_keepalive=True,
        )  # fmt: skip
        self.hosts.extend(others)
        self._timeout, self._tls = at.timeout, tls
        self.context.client_settings = _SERVER

    def ready(self, settings: Mapping[str, str]) -> None:
        """Be connected, for a statement with these settings."""
        self.context.settings = settings
        self.force_connect()

    def ask(self, sql: str, values: parameters.Parameters) -> pa.Table:
        """Send a statement and read all rows of its answer."""
        self.send_query(sql, params={name: _Bound(text) for name, text in parameters.encode(values).items()})
        self.send_external_tables(None)
        read = [packet.block for packet in self._packets() if packet.type == protocol.ServerPacketTypes.DATA]
        batches = [one.batch for one in read if one.names]
        return pa.Table.from_batches(batches, batches[0].schema) if batches else pa.table({})

    def give(self, sql: str, batch: pa.RecordBatch) -> None:
        """Send an INSERT and its rows, and wait until the server has them."""
        self.send_query(sql)
        self.send_external_tables(None)
        sample = next(p.block for p in self._packets() if p.type == protocol.ServerPacketTypes.DATA)
        try:
            self.send_data(_Rows(sample.names, sample.types, batch.select(sample.names)))
            self.send_data(block.ColumnOrientedBlock())
        except OSError:
            # A server that refuses hangs up on what is still coming, and its reason waits to be read
            with contextlib.suppress(OSError, EOFError):
                for _ in self._packets():
                    pass
            raise
        for _ in self._packets():
            pass

    def get_block_in_stream(self) -> _Reading:
        return _Reading(super().get_block_in_stream(), self.context)

    def get_block_out_stream(self) -> _Writing:
        return _Writing(super().get_block_out_stream())

    def _packets(self) -> Iterator[Any]:
        """What the server sends, up to its end of the statement."""
        while True:
            packet = self.receive_packet()
            if packet.type == protocol.ServerPacketTypes.EXCEPTION:
                raise packet.exception
            if packet.type == protocol.ServerPacketTypes.END_OF_STREAM:
                return
            yield packet

    def _init_connection(self, host: str, port: int) -> None:
        try:
            super()._init_connection(host, port)
        except EOFError as error:  # so that the driver tries the next host
            raise ConnectionResetError("it hung up before it had greeted") from error
        self.socket.settimeout(self._timeout)

    def _create_ssl_context(self, _: object) -> ssl.SSLContext | None:
        return self._tls


@dataclasses.dataclass(frozen=True, slots=True)
class _Bound:
    """A value of a parameter, already escaped; as text the driver would escape it in a way of its own."""

    text: str

    def __str__(self) -> str:
        return self.text.replace("\\", "\\\\").replace("'", "\\'")


class _Source:
    """A buffer of the driver's, as `blocks.Source`."""

    def __init__(self, buffer: Any) -> None:
        self._buffer = buffer

    def read(self, count: int) -> bytes:
        data: bytes = self._buffer.read(count) if count else b""
        return data

    def varint(self) -> int:
        number: int = varint.read_varint(self._buffer)
        return number

    def texts(self, count: int) -> list[bytes]:
        return list(self._buffer.read_strings(count)) if count else []


class _Reading:
    """Blocks of a connection, as Arrow batches."""

    def __init__(self, stream: Any, context: Any) -> None:
        self._stream, self._context = stream, context

    def read(self, use_numpy: bool | None = None) -> _Rows:  # noqa: ARG002 (the driver's form)
        buffer = self._stream.fin
        block.BlockInfo().read(buffer)
        width, height = varint.read_varint(buffer), varint.read_varint(buffer)
        names, types, fields, arrays = [], [], [], []
        for _ in range(width):
            names.append(reader.read_binary_str(buffer))
            types.append(reader.read_binary_str(buffer))
            field, array = self._column(names[-1], blocks.parse(types[-1]), height)
            fields.append(field)
            arrays.append(array)
        return _Rows(names, types, pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)))

    def _column(self, name: str, kind: blocks.Kind, height: int) -> tuple[pa.Field[Any], pa.Array[Any]]:
        server = self._context.server_info
        newer = server.used_revision >= defines.DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION
        custom = newer and bool(reader.read_binary_uint8(self._stream.fin))
        zone: str = server.get_timezone()
        field = pa.field(name, blocks.arrow(kind, zone), blocks.is_nullable(kind))
        if not height:
            return field, blocks.empty(kind, zone)
        return field, blocks.decode(kind, height, _Source(self._stream.fin), zone, custom=custom)


class _Writing:
    """Blocks of a connection, from Arrow batches; those of the driver's own are empty ones."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, sent: _Rows | Any) -> None:
        if not isinstance(sent, _Rows):
            self._stream.write(sent)
            return
        buffer = self._stream.fout
        block.BlockInfo().write(buffer)
        varint.write_varint(len(sent.names), buffer)
        varint.write_varint(sent.batch.num_rows, buffer)
        for name, text, column in zip(sent.names, sent.types, sent.batch.columns, strict=True):
            writer.write_binary_str(name, buffer)
            writer.write_binary_str(text, buffer)
            buffer.write(b"\0")  # in no way of its own
            for part in blocks.encode(blocks.parse(text), column):
                buffer.write(bytes(part))
        self._stream.finalize()
