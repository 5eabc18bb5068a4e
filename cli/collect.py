"""``collect`` without a ledger: what a node offers, what its kernel has right now, and flows as they come."""

from __future__ import annotations

import pathlib
import signal
import sys
import threading
from typing import IO

import pyarrow as pa

from cli import output
from collector import collector, matrix, snapshot
from collector.conntrack import scope
from collector.counters import source as counters
from collector.netlink import sockets
from model import errors
from runtime import settings
from store import parameters

_PRINTED = "flows that are printed cannot be asked for again"
STREAMS = (*output.STREAMED, "arrow")
_MATRIX = pa.schema([(name, pa.string()) for name in ("source", "fact", "known", "because", "improve")])
_SHOWN = ("protocol", "src_address", "src_port", "dst_address", "dst_port", "service_address", "service_port",
          "forward_bytes", "reverse_bytes", "tcp_state")  # fmt: skip
_FLOWS_SHOWN = ("time", "src_address", "src_port", "dst_address", "dst_port", "protocol", "verdict",
                "forward_bytes", "reverse_bytes", "deciding_rule")  # fmt: skip


def check(configured: settings.Collector, form: str) -> None:
    """Print what each source can give here.

    Raises:
        SetupError: If a source is asked for that there is not.
    """
    collector.check_sources(configured)
    rows = [
        {name: str(getattr(offer, name)) for name in _MATRIX.names} for offer in matrix.offers(configured)
    ]
    output.write(pa.Table.from_pylist(rows, _MATRIX), form, sys.stdout)


def once(configured: settings.Collector, form: str) -> None:
    """Print what the kernel has right now: the connections of its table, or the rules that count.

    Raises:
        SetupError: If the source has nothing to show without waiting, or cannot be read.
    """
    if configured.sources == ("conntrack",):
        _connections(configured, form)
    elif configured.sources == ("counters",):
        found = counters.Source(_namespace(configured), {}, {}, whole=True).read()
        if not found.hits and not sockets.is_capable():
            raise errors.SetupError("reading rules needs CAP_NET_ADMIN: run as root, or grant it with setcap")
        output.write(pa.table(found.columns()), form, sys.stdout)
    else:
        raise errors.SetupError(
            "--once shows a table as it stands: add --source conntrack or --source counters, one of them"
        )


def _namespace(configured: settings.Collector) -> pathlib.Path | None:
    return pathlib.Path(configured.netns) if configured.netns else None


def _connections(configured: settings.Collector, form: str) -> None:
    wanted = scope.parse(configured.conntrack_zone, configured.conntrack_mark)
    batches = snapshot.batches(_namespace(configured), wanted)
    if form not in output.STREAMED:
        found = pa.Table.from_batches(batches, snapshot.SCHEMA).unify_dictionaries()
        output.write(found, form, sys.stdout, _SHOWN)
        return
    header = True
    for batch in batches:
        output.write(pa.Table.from_batches([batch]), form, sys.stdout, _SHOWN, header=header)
        header = False
    if header:  # an empty table is a table too
        output.write(snapshot.SCHEMA.empty_table(), form, sys.stdout, _SHOWN)


def stream(form: str) -> Stream:
    """What prints flows as they come.

    Raises:
        SetupError: If the form has an end.
    """
    if form not in STREAMS:
        raise errors.SetupError(f"flows go on: -o takes {', '.join(STREAMS)} here; {form} has an end")
    return Stream(form, sys.stdout)


class Stream:
    """A ledger that keeps nothing: flows go to standard output as they come. Threads may share it.

    Args:
        form: One of ``STREAMS``.
    """

    takes_rows = True

    def __init__(self, form: str, stream: IO[str]) -> None:
        self._form, self._stream = form, stream
        self._lock = threading.Lock()
        self._arrow: pa.RecordBatchStreamWriter | None = None
        self._header = True

    def insert(
        self,
        table: str,
        batch: pa.RecordBatch | pa.Table,
        *,
        token: str = "",  # noqa: ARG002 (part of the form)
    ) -> None:
        """Print rows of `flows`; others are passed over."""
        if table != "flows":
            return
        try:
            with self._lock:
                self._write(batch)
        except BrokenPipeError:  # whoever reads it has seen enough
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def _write(self, batch: pa.RecordBatch | pa.Table) -> None:
        if self._form == "arrow":
            self._write_arrow(batch)
        else:
            rows = batch if isinstance(batch, pa.Table) else pa.Table.from_batches([batch])
            output.write(rows, self._form, self._stream, _FLOWS_SHOWN, header=self._header)
        self._header = False
        self._stream.flush()

    def _write_arrow(self, batch: pa.RecordBatch | pa.Table) -> None:
        if self._arrow is None:
            options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=False)
            self._arrow = pa.ipc.new_stream(self._stream.buffer, batch.schema, options=options)  # type: ignore[attr-defined]  # stdout has one
        self._arrow.write(batch)

    def query(self, sql: str, parameters: parameters.Parameters) -> pa.Table:  # noqa: ARG002 (part of the form)
        """Refused: what is printed is gone.

        Raises:
            StoreError: Always.
        """
        raise errors.StoreError(_PRINTED)

    def query_bytes(
        self,
        sql: str,  # noqa: ARG002 (part of the form)
        parameters: parameters.Parameters,  # noqa: ARG002 (part of the form)
        output_format: str,  # noqa: ARG002 (part of the form)
        settings: parameters.Parameters = parameters.NONE,  # noqa: ARG002 (part of the form)
    ) -> bytes:
        """Refused, as ``query`` is.

        Raises:
            StoreError: Always.
        """
        raise errors.StoreError(_PRINTED)

    def command(self, sql: str, parameters: parameters.Parameters) -> None:  # noqa: ARG002 (part of the form)
        """Refused: there is nothing to change.

        Raises:
            StoreError: Always.
        """
        raise errors.StoreError(_PRINTED)

    def close(self) -> None:
        """End the stream."""
        if self._arrow is not None:
            self._arrow.close()
