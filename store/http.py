"""A ledger behind any ClickHouse HTTP interface, to be read."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.parse
import urllib.request

import pyarrow as pa

from model import errors
from store import parameters

TIMEOUT_SECONDS = 60.0


class Remote:
    """The ledger at ``http://host:port``. Nothing is asked before the first query; threads may share it."""

    takes_rows = False

    def __init__(self, url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._url = url.rstrip("/") + "/"
        self._timeout = timeout_seconds
        # A proxy from the environment has no business between us and the ledger.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def query(self, sql: str, parameters: parameters.Parameters) -> pa.Table:
        """The rows that a statement selects.

        Raises:
            StoreError: If the ledger refuses, with its own words, or cannot be reached.
        """
        answer = self.query_bytes(sql, parameters, "ArrowStream")
        try:
            return pa.ipc.open_stream(answer).read_all()
        except pa.ArrowInvalid as error:
            raise errors.StoreError(f"{self._url} answers, but not as ClickHouse does: {error}") from error

    def query_bytes(self, sql: str, parameters: parameters.Parameters, output_format: str) -> bytes:
        """The answer in one of ClickHouse's output formats, unless the statement names one itself.

        Raises:
            StoreError: As for `query`.
        """
        request = self._request(sql, parameters, output_format)
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                answer: bytes = response.read()
                return answer
        except urllib.error.HTTPError as error:
            with error:
                raise errors.StoreError(error.read().decode(errors="replace").strip()) from error
        except (OSError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise errors.StoreError(
                f"no ledger answers at {self._url} ({reason}): start one with `flowledger up`"
            ) from error

    def insert(self, table: str, batch: pa.RecordBatch | pa.Table) -> None:  # noqa: ARG002 (part of the form)
        """Refused: this way to a ledger is for reading.

        Raises:
            StoreError: Always.
        """
        raise errors.StoreError(
            f"{self._url} is read-only: rows for {table} go to the process that owns the ledger"
        )

    def close(self) -> None:
        """Nothing is held between two queries."""

    def _request(self, sql: str, values: parameters.Parameters, output_format: str) -> urllib.request.Request:
        fields = {f"param_{name}": value for name, value in parameters.encode(values).items()}
        query = urllib.parse.urlencode({**fields, "default_format": output_format})
        return urllib.request.Request(f"{self._url}?{query}", data=sql.encode(), method="POST")  # noqa: S310
