"""A ledger behind any ClickHouse HTTP interface: a server's own, or the read-only one of `store.gateway`."""

from __future__ import annotations

import http.client
import ssl
import urllib.parse
from collections.abc import Mapping

import pyarrow as pa

from model import errors
from store import ddl, exceptions, location, parameters, rows

TIMEOUT_SECONDS = 60.0

_READING = {"readonly": "1", "wait_end_of_query": "1"}
"""Nothing but reading; and no status before the last row, so that a late failure is not taken for an end."""


class Remote:
    """The ledger at ``http://host:port`` (`store.location`). Nothing is asked before it is used.

    Threads may share it. Where the URL names several hosts, each statement goes to the first that lets itself
    be reached.

    Raises:
        SetupError: If the URL is wrong.
    """

    def __init__(self, url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._at = location.parse(url, location.PORTS["http"], timeout=timeout_seconds)
        self._tls = self._at.tls.context() if self._at.tls else None
        self._takes_rows: bool | None = None

    @property
    def takes_rows(self) -> bool:
        """Whether what answers there lets this user write; while nobody answers, it may."""
        if self._takes_rows is None:
            try:
                sql = "SELECT value FROM system.settings WHERE name = 'readonly'"
                self._takes_rows = self._send(sql, {}, b"").strip() in (b"0", b"")
            except errors.StoreError as error:
                return error.temporary
        return self._takes_rows

    def query(self, sql: str, parameters: parameters.Parameters) -> pa.Table:
        """The rows that a statement selects.

        Raises:
            StoreError: If the ledger refuses, with its own words, or cannot be reached.
        """
        answer = self.query_bytes(sql, parameters, "ArrowStream")
        try:
            return pa.ipc.open_stream(answer).read_all()
        except pa.ArrowInvalid as error:
            raise errors.StoreError(f"{self._at} answers, but not as ClickHouse does: {error}") from error

    def query_bytes(
        self,
        sql: str,
        parameters: parameters.Parameters,
        output_format: str,
        settings: parameters.Parameters = parameters.NONE,
    ) -> bytes:
        """The answer in one of ClickHouse's output formats, unless the statement names one itself.

        Raises:
            StoreError: As for `query`.
        """
        chosen = {name: str(value) for name, value in settings.items()}
        fields = {**chosen, **_READING, **_bound(parameters), "default_format": output_format}
        return self._send("", fields, sql.encode())

    def insert(self, table: str, batch: pa.RecordBatch | pa.Table, *, token: str = "") -> None:
        """Append rows to one of `ddl.TABLES`, where the server lets this user do so.

        Raises:
            StoreError: If a column is missing or has the wrong type, or the server takes no rows.
        """
        if not self.takes_rows:
            raise errors.StoreError(
                f"{self._at} is read-only: rows for {table} go to the process that owns the ledger"
            )
        names = ", ".join(ddl.TABLES[table].names)
        statement = f"INSERT INTO {table} ({names}) FORMAT ArrowStream"
        self._send(statement, parameters.inserting(token), _stream(rows.fitting(table, batch)))

    def command(self, sql: str, parameters: parameters.Parameters) -> None:
        """Run a statement that changes the ledger, such as one of its schema.

        Raises:
            StoreError: As for `insert`.
        """
        self._send("", {"wait_end_of_query": "1", **_bound(parameters)}, sql.encode())

    def close(self) -> None:
        """Nothing is held between two statements."""

    def _send(self, statement: str, fields: Mapping[str, str], body: bytes) -> bytes:
        """One exchange: a statement in the URL, with rows in the body, or in the body alone."""
        named = {"query": statement} if statement else {}
        database = {"database": self._at.database} if self._at.database else {}
        target = "/?" + urllib.parse.urlencode({**named, **database, **fields})
        connection = self._connect()
        try:
            connection.request("POST", target, body, self._login())
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise exceptions.unreachable(
                f"{self._at} has not answered: {error or type(error).__name__}"
            ) from error
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise _refused(response, answer)
        return answer

    def _connect(self) -> http.client.HTTPConnection:
        reasons = []
        for host, port in self._at.hosts:
            connection = self._connection(host, port)
            try:
                connection.connect()
            except OSError as error:
                connection.close()
                reasons.append(f"{host}: {error}" if len(self._at.hosts) > 1 else str(error))
            else:
                connection.sock.settimeout(self._at.timeout)
                return connection
        raise exceptions.unreachable(
            f"no ledger answers at {self._at} ({'; '.join(reasons)}): start one with `flowledger up`"
        )

    def _connection(self, host: str, port: int) -> http.client.HTTPConnection:
        if self._tls is None or self._at.tls is None:
            return http.client.HTTPConnection(host, port, timeout=self._at.connect_timeout)
        return _Secure(host, port, self._at.connect_timeout, self._tls, self._at.tls.server_name or host)

    def _login(self) -> dict[str, str]:
        if self._at.user == "default" and not self._at.password:
            return {}
        # Headers of ClickHouse's own, which take any character once it is UTF-8, and no proxy logs them.
        texts = {"X-ClickHouse-User": self._at.user, "X-ClickHouse-Key": self._at.password}
        return {name: text.encode().decode("latin-1") for name, text in texts.items()}


class _Secure(http.client.HTTPSConnection):
    """HTTPS to a server whose certificate may be for another name than the one by which we reach it."""

    def __init__(self, host: str, port: int, timeout: float, tls: ssl.SSLContext, server_name: str) -> None:
        super().__init__(host, port, timeout=timeout, context=tls)
        self._tls, self._server_name = tls, server_name

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._server_name)


def _bound(values: parameters.Parameters) -> dict[str, str]:
    return {f"param_{name}": value for name, value in parameters.encode(values).items()}


def _stream(table: pa.Table) -> bytes:
    """Rows as one Arrow batch, which ClickHouse takes as one block."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def _refused(response: http.client.HTTPResponse, answer: bytes) -> errors.StoreError:
    words = answer.decode(errors="replace")
    code = response.headers.get("X-ClickHouse-Exception-Code", "")
    if not code and response.status >= http.client.INTERNAL_SERVER_ERROR:
        return exceptions.unreachable(
            f"{response.status} {response.reason}: {words.strip()}"
        )  # a proxy's words
    return exceptions.refusal(words or f"{response.status} {response.reason}", int(code or 0))
