"""How much one statement from outside may take, and which of ClickHouse's settings a client may choose.

A setting that is not here is the ledger's own. Whoever gives one is answered as ClickHouse answers a user
who may only read; what concerns HTTP alone is taken, and `store.asking` honours what has a meaning here.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from store import exceptions, parameters, transport


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What nobody can raise from outside.

    Attributes:
        statement_seconds: How long a statement may run.
        statement_bytes: How much memory it may use.
        answer_rows: How many rows its answer may have.
        answer_bytes: How large its answer may be, before any compression.
        statements: How many may run at once.
    """

    statement_seconds: int = 60
    statement_bytes: int = 2 << 30
    answer_rows: int = 10_000_000
    answer_bytes: int = 512 << 20
    statements: int = 4

    @property
    def settings(self) -> dict[str, int]:
        """The same by ClickHouse's names."""
        return {
            "max_execution_time": self.statement_seconds,
            "max_memory_usage": self.statement_bytes,
            "max_result_rows": self.answer_rows,
            "max_result_bytes": self.answer_bytes,
        }


_FREE = frozenset(
    {
        "date_time_output_format", "extremes", "join_use_nulls", "max_block_size", "max_bytes_to_read",
        "max_rows_to_read", "output_format_arrow_compression_method",
        "output_format_arrow_low_cardinality_as_dictionary", "output_format_arrow_string_as_string",
        "output_format_json_quote_64bit_integers", "output_format_json_quote_decimals",
        "output_format_json_quote_denormals", "output_format_parquet_compression_method",
        "output_format_parquet_string_as_string", "result_overflow_mode", "session_timezone",
    }
)  # fmt: skip
"""Settings that change how an answer looks, or how little is read for it; none of them names a file."""

_OF_HTTP = frozenset(
    {
        "cancel_http_readonly_queries_on_client_close", "enable_http_compression",
        "http_headers_progress_interval_ms", "http_native_compression_disable_checksumming_on_decompress",
        "http_zlib_compression_level", "network_compression_method", "network_zstd_compression_level",
        "send_progress_in_http_headers",
    }
)  # fmt: skip
"""Settings of the exchange rather than of the statement."""

_NO_SETTINGS = frozenset(
    {
        "buffer_size", "client_protocol_version", "compress", "database", "decompress", "default_format",
        "password", "query", "query_id", "quota_key", "role", "session_check", "session_id",
        "session_timeout", "stacktrace", "user", "wait_end_of_query",
    }
)  # fmt: skip
"""Fields of the URL that ClickHouse does not take for settings either. Sessions keep nothing here: whoever
may only read has neither temporary tables nor settings to come back to."""

CHOSEN = frozenset({*Limits().settings, *_FREE, *_OF_HTTP})
"""Settings that a client may give."""

_KNOWN = "SELECT value FROM system.settings WHERE name = {name:String}"


def settings(ledger: transport.Transport, fields: Mapping[str, str], limits: Limits) -> parameters.Parameters:
    """What holds for one statement: the limits, and what its client has chosen within them.

    Args:
        ledger: Who knows all settings.
        fields: Those of the URL.
        limits: What the client cannot raise.

    Raises:
        StoreError: If there is no such setting, or it is not the client's to choose.
    """
    chosen: dict[str, str | int] = {}
    for name, value in fields.items():
        if name in _FREE:
            chosen[name] = value
        elif name not in {*_NO_SETTINGS, *CHOSEN} and not name.startswith("param_"):
            _require_unchanged(ledger, name, value)
    capped = {name: _lower(name, fields.get(name, ""), most) for name, most in limits.settings.items()}
    return {"result_overflow_mode": "throw", **chosen, **capped}


def _lower(name: str, given: str, most: int) -> int:
    """The lower of two limits; 0 stands for none."""
    if not given:
        return most
    if not re.fullmatch(r"\d{1,20}(\.\d{1,9})?", given, re.ASCII):
        raise exceptions.told(72, "CANNOT_PARSE_NUMBER", f"{name} is a number, not what was given")
    return min(max(1, int(float(given))), most) if float(given) else most


def _require_unchanged(ledger: transport.Transport, name: str, value: str) -> None:
    if name == "readonly" and value in ("1", "2"):
        return
    found = ledger.query(_KNOWN, {"name": name}).column("value").to_pylist()
    if not found:
        raise exceptions.told(115, "UNKNOWN_SETTING", f"Unknown setting '{name}'")
    if value not in found:
        raise exceptions.told(164, "READONLY", f"Cannot modify '{name}' setting in readonly mode")
