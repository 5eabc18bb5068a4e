"""One exchange with a client of ClickHouse's HTTP interface: from a request to a reply, without a socket."""

from __future__ import annotations

import dataclasses
import email.message
import json
import re
import time
import urllib.parse
import uuid
from collections.abc import Mapping

from model import errors
from store import encodings, exceptions, limits, parameters, readonly, revisions, transport

LONGEST_BODY = 1 << 20
"""Of a statement, and of what it is compressed into."""

SERVER_NAME = "flowledger"
_DEFAULT_FORMAT = "TabSeparated"
_OK = "Ok.\n"
_ALIVE = ("/", "/ping", "/replicas_status")
_UNKNOWN = 1002

_TYPES = {
    "JSON": "application/json; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "Pretty": "text/plain; charset=UTF-8",
    "Vertical": "text/plain; charset=UTF-8",
    "XML": "application/xml; charset=UTF-8",
}
"""What formats are to a browser, by how their names begin."""

_STATUS = {
    400: (6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441,
          675, 676),
    401: (194,),
    403: (192, 193, 497, 512, 516),
    404: (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511),
    408: (159,),
    411: (381,),
    413: (229,),
    501: (48,),
    503: (76, 209, 439),
}  # fmt: skip
"""ClickHouse's own choice of a status for its codes (``exceptionCodeToHTTPStatus.cpp``); else it is 500."""
_BY_CODE = {code: status for status, codes in _STATUS.items() for code in codes}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client says.

    Attributes:
        path: Of its URL.
        fields: Of its URL, too.
        headers: By name in lower case.
        body: As it came.
    """

    path: str
    fields: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What it is told."""

    status: int = 200
    headers: Mapping[str, str]
    body: bytes


def read(target: str, headers: email.message.Message) -> Request:
    """A request from the target in its first line and its headers, before its body is read.

    Raises:
        StoreError: If the target is no URL.
    """
    try:
        parts = urllib.parse.urlsplit(target)
        fields = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True, max_num_fields=1000))
    except ValueError as error:
        raise exceptions.told(36, "BAD_ARGUMENTS", f"the URL cannot be read: {error}") from error
    lower = {name.lower(): value for name, value in headers.items()}
    return Request(path=parts.path, fields=fields, headers=lower)


def reply(ledger: transport.Transport, request: Request, most: limits.Limits) -> Reply:
    """Answer a request.

    Args:
        ledger: Who knows.
        request: The request, of somebody who may ask.
        most: What it may take.

    Raises:
        StoreError: If it does more than read, asks for too much, or ClickHouse refuses it.
    """
    statement = _statement(request)
    if request.path not in _ALIVE:
        return _plain(404, f"There is no handle {request.path}\n\nUse / or /ping for health checks.\n")
    if request.path != "/" or not statement.strip():
        return _plain(200, _OK)
    began = time.monotonic_ns()
    text, zone = _understood(ledger, request, statement)
    settings = limits.settings(ledger, request.fields, most)
    output = readonly.named_format(text) or _asked_format(request)
    content = ledger.query_bytes(text, _bound(request.fields), output, settings)
    revision = request.fields.get("client_protocol_version", "")
    if output == "Native" and re.fullmatch(r"0*[1-9][0-9]{0,8}", revision):
        content = revisions.written_for(content, int(revision))
    said = {"result_bytes": str(len(content)), "elapsed_ns": str(time.monotonic_ns() - began)}
    return _answer(request, content, output, {
        "X-ClickHouse-Timezone": zone,
        "X-ClickHouse-Summary": json.dumps(said, separators=(",", ":")),
    })  # fmt: skip


def refusal(error: errors.StoreError, request: Request | None = None) -> Reply:
    """The reply to a request that cannot be answered."""
    code = error.code or int(found[1] if (found := re.search(r"Code: (\d+)", str(error))) else _UNKNOWN)
    headers = {**_common(request), "X-ClickHouse-Exception-Code": str(code)}
    if code == 194:
        headers["WWW-Authenticate"] = 'Basic realm="Flowledger"'
    return _plain(_BY_CODE.get(code, 500), f"{error}\n", headers)


def _statement(request: Request) -> str:
    """The statement in the URL, in the body, or begun in the one and ended in the other."""
    body = encodings.decode(request.body, request.headers.get("content-encoding", ""), LONGEST_BODY)
    if request.fields.get("decompress") == "1":
        body = encodings.unframe(body, LONGEST_BODY)
    parts = (request.fields.get("query", ""), body.decode(errors="replace"))
    return "\n".join(part for part in parts if part.strip())


def _understood(ledger: transport.Transport, request: Request, statement: str) -> tuple[str, str]:
    """A statement that only reads, as ClickHouse understands it; and the ledger's time zone."""
    try:
        (about,) = ledger.query(readonly.UNDERSTAND, {"query": statement}).to_pylist()
    except UnicodeDecodeError as error:
        raise exceptions.told(62, "SYNTAX_ERROR", "the statement is not UTF-8") from error
    asked = request.fields.get("database") or request.headers.get("x-clickhouse-database") or "default"
    if asked not in ("default", about["own"]):  # a ledger is one database: names would be looked up in this
        words = f"Database {asked} is not served here, but {about['own']} is"
        raise exceptions.told(81, "UNKNOWN_DATABASE", words)
    readonly.check(about["canonical"], frozenset(about["outward"]))
    return readonly.with_choices(about["canonical"], limits.CHOSEN), str(about["zone"])


def _asked_format(request: Request) -> str:
    named = request.headers.get("x-clickhouse-format") or request.fields.get("default_format")
    if named and not re.fullmatch(r"\w+", named):
        raise exceptions.told(73, "UNKNOWN_FORMAT", f"Unknown format {named}")
    return named or _DEFAULT_FORMAT


def _bound(fields: Mapping[str, str]) -> dict[str, parameters.Written]:
    return {
        name.removeprefix("param_"): parameters.Written(value)
        for name, value in fields.items()
        if name.startswith("param_")
    }


def _answer(request: Request, content: bytes, output: str, about: Mapping[str, str]) -> Reply:
    kind = next(
        (kind for name, kind in _TYPES.items() if output.startswith(name)), "application/octet-stream"
    )
    headers = {**_common(request), "Content-Type": kind, "X-ClickHouse-Format": output, **about}
    if request.fields.get("compress") == "1":
        method = request.fields.get("network_compression_method", "LZ4")
        return Reply(headers=headers, body=encodings.frame(content, method))
    encoding = encodings.accepted(request.headers.get("accept-encoding", ""))
    if encoding and request.fields.get("enable_http_compression") in ("1", "true"):
        headers["Content-Encoding"] = encoding
        content = encodings.encode(content, encoding)
    return Reply(headers=headers, body=content)


def _common(request: Request | None) -> dict[str, str]:
    asked = request.fields.get("query_id", "") if request else ""
    shown = asked if re.fullmatch(r"[\x21-\x7e]{1,200}", asked) else str(uuid.uuid4())
    return {
        "X-ClickHouse-Query-Id": shown,
        "X-ClickHouse-Server-Display-Name": SERVER_NAME,
    }


def _plain(status: int, text: str, headers: Mapping[str, str] = {}) -> Reply:
    kind = {"Content-Type": "text/plain; charset=UTF-8"}
    return Reply(status=status, headers={**kind, **headers}, body=text.encode())
