"""An HTTP server that stands in for kube-apiserver, which cannot run in the suite.

It keeps objects as etcd does: one revision for all that is written, and a log of events, which can be
compacted. It serves discovery, lists in pages that are pinned to a revision, watches with bookmarks, partial
metadata, writes that need the right revision, and goes wrong on demand.
"""

from __future__ import annotations

import collections
import contextlib
import copy
import dataclasses
import datetime
import http.server
import itertools
import json
import socket
import socketserver
import threading
import time
import urllib.parse
from typing import Any

Object = dict[str, Any]

SERVED: dict[str, dict[str, str]] = {
    "/api/v1": {
        "pods": "Pod", "nodes": "Node", "services": "Service", "namespaces": "Namespace",
        "serviceaccounts": "ServiceAccount",
    },
    "/apis/discovery.k8s.io/v1": {"endpointslices": "EndpointSlice"},
    "/apis/apps/v1": {"replicasets": "ReplicaSet"},
    "/apis/batch/v1": {"jobs": "Job", "cronjobs": "CronJob"},
    "/apis/networking.k8s.io/v1": {"networkpolicies": "NetworkPolicy"},
    "/apis/coordination.k8s.io/v1": {"leases": "Lease"},
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request.

    Attributes:
        what: One of the words below.
        after: For a watch: so many events first.
        number: A status, seconds, bytes or events, as ``what`` wants it.
        retry_after: Of a status.
    """

    what: str
    after: int = 0
    number: int = 0
    retry_after: int = 0


@dataclasses.dataclass
class _Entry:
    revision: int
    collection: str
    type: str
    object: Object


class ApiServer:
    """What a test talks to: its state, its faults, and what it was asked.

    Args:
        bookmark_seconds: How often a watch has one.
        token: What clients have to show; empty for nothing.
    """

    def __init__(self, bookmark_seconds: float = 0.1, token: str = "") -> None:
        self.served = copy.deepcopy(SERVED)
        self.forbidden: set[str] = set()
        self.partial = True
        self.unacceptable = False
        self.old_ends = False
        self.bookmark_seconds = bookmark_seconds
        self.token = token
        self.lists: collections.Counter[str] = collections.Counter()
        self.asked: list[tuple[str, str, str]] = []
        self.stopping = threading.Event()
        self.changed = threading.Condition(threading.RLock())
        self._revision = 100
        self._compacted = 0
        self._objects: dict[str, dict[tuple[str, str], Object]] = collections.defaultdict(dict)
        self._log: list[_Entry] = []
        self._pages: dict[str, tuple[int, list[Object]]] = {}
        self._names = itertools.count()
        self._faults: dict[tuple[str, str], collections.deque[Fault]] = collections.defaultdict(
            collections.deque
        )
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.stopping.set()
        with self.changed:
            self.changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._server.break_off()

    def break_off(self) -> None:
        """Reset every connection that there is."""
        self._server.break_off()

    # What there is

    def fault(self, collection: str, verb: str, *faults: Fault) -> None:
        """Have the next requests go wrong, one after the other."""
        with self.changed:
            self._faults[collection, verb].extend(faults)

    def next_fault(self, collection: str, verb: str) -> Fault:
        with self.changed:
            waiting = self._faults[collection, verb]
            return waiting.popleft() if waiting else Fault("none")

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        with self.changed:
            self._faults.clear()

    def faults_left(self) -> int:
        with self.changed:
            return sum(map(len, self._faults.values()))

    def apply(self, collection: str, thing: Object) -> Object:
        """Make an object, or replace it."""
        with self.changed:
            group, _, plural = collection.rpartition("/")
            known = self._objects[collection]
            key = _key(thing)
            self._revision += 1
            metadata = {
                "uid": f"uid-{next(self._names)}", "creationTimestamp": _now(), **thing["metadata"],
                "resourceVersion": str(self._revision),
                "managedFields": [{"manager": "test", "operation": "Update", "time": _now()}],
            }  # fmt: skip
            if key in known:
                metadata["uid"] = known[key]["metadata"]["uid"]
            full = {
                "apiVersion": group.removeprefix("/apis/").removeprefix("/api/"),
                "kind": self.served.get(group, {}).get(plural, "Unknown"), **thing, "metadata": metadata,
            }  # fmt: skip
            self._write(collection, "MODIFIED" if key in known else "ADDED", full)
            known[key] = full
            return full

    def delete(self, collection: str, namespace: str, name: str) -> None:
        with self.changed:
            last = self._objects[collection].pop((namespace, name))
            self._revision += 1
            if not self.old_ends:
                last = {**last, "metadata": {**last["metadata"], "resourceVersion": str(self._revision)}}
            self._write(collection, "DELETED", last)

    def _write(self, collection: str, what: str, thing: Object) -> None:
        self._log.append(_Entry(self._revision, collection, what, thing))
        self.changed.notify_all()

    def compact(self) -> None:
        """Forget everything but the present state."""
        with self.changed:
            self._compacted = self._revision
            self._pages.clear()

    def expire_pages(self) -> None:
        """Forget the pages of lists under way."""
        with self.changed:
            self._pages.clear()

    def restore(self, back: int) -> None:
        """Go back to an earlier revision, as after a restore from a backup; the state stays."""
        with self.changed:
            self._revision -= back
            self._log.clear()
            self._compacted = 0

    def state(self, collection: str) -> dict[tuple[str, str], Object]:
        with self.changed:
            return dict(self._objects[collection])

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def compacted(self) -> int:
        return self._compacted

    def page(self, collection: str, limit: int, token: str) -> tuple[int, list[Object], str] | None:
        """Revision, items, and the token of the next page; None where the token is known no more."""
        with self.changed:
            if token:
                if token not in self._pages:
                    return None
                revision, items = self._pages.pop(token)
            else:
                self.lists[collection] += limit != 1  # whoever asks for one only wants the revision
                revision, items = self._revision, list(self._objects[collection].values())
            if not limit or len(items) <= limit:
                return revision, items, ""
            following = f"page-{next(self._names)}"
            self._pages[following] = revision, items[limit:]
            return revision, items[:limit], following

    def since(self, collection: str, revision: int) -> list[_Entry]:
        with self.changed:
            return [e for e in self._log if e.collection == collection and e.revision > revision]


def _key(thing: Object) -> tuple[str, str]:
    return thing["metadata"].get("namespace", ""), thing["metadata"]["name"]


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128
    api: ApiServer

    def __init__(self, *args: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def break_off(self) -> None:
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go away; that is no error here."""


class _CutError(Exception):
    """This connection ends here."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *args: Any) -> None:
        pass

    @property
    def api(self) -> ApiServer:
        return self.server.api

    def do_GET(self) -> None:
        self._guarded("GET")

    def do_POST(self) -> None:
        self._guarded("POST")

    def do_PUT(self) -> None:
        self._guarded("PUT")

    def _guarded(self, method: str) -> None:
        try:
            self._do(method)
        except (_CutError, OSError):
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    def _do(self, method: str) -> None:
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        verb = "watch" if query.get("watch") else "list" if method == "GET" else method.lower()
        self.api.asked.append((verb, parts.path, self.headers.get("Accept", "")))
        if self.api.token and self.headers.get("Authorization", "").lower() != f"bearer {self.api.token}":
            self._status(401, "Unauthorized", "Unauthorized")
            return
        if self._discovery(parts.path):
            return
        collection, name = self._route(parts.path)
        if not collection:
            self._status(404, "NotFound", "the server could not find the requested resource")
        elif collection in self.api.forbidden:
            self._status(403, "Forbidden", f"{collection} is forbidden: User cannot {verb} it")
        elif self.api.unacceptable and "as=" in self.headers.get("Accept", ""):
            self._status(406, "NotAcceptable", "only application/json")
        elif name or method != "GET":
            self._one(method, collection, name)
        elif verb == "watch":
            self._watch(collection, query)
        else:
            self._list(collection, query)

    def _route(self, path: str) -> tuple[str, str]:
        """Collection (all namespaces) and name."""
        for group, resources in self.api.served.items():
            rest = path.removeprefix(f"{group}/").split("/") if path.startswith(f"{group}/") else []
            if rest[:1] == ["namespaces"] and len(rest) > 2:
                rest = rest[2:]
            if rest and rest[0] in resources:
                return f"{group}/{rest[0]}", rest[1] if len(rest) > 1 else ""
        return "", ""

    def _discovery(self, path: str) -> bool:
        served = self.api.served
        if path in served:
            resources = [{"name": name, "kind": kind} for name, kind in served[path].items()]
            self._json({"kind": "APIResourceList", "resources": resources})
            return True
        versions = [group.rpartition("/")[2] for group in served if group.startswith(f"{path}/")]
        if path.startswith("/apis/") and path.count("/") == 2 and versions:
            fault = self.api.next_fault(path, "discovery")
            if fault.what == "status":
                self._status(fault.number, "", "sorry")
                return True
            self._json({"kind": "APIGroup", "versions": [{"version": version} for version in versions]})
            return True
        return False

    # Answers

    def _json(self, body: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _status(self, code: int, reason: str, message: str, retry_after: int = 0) -> None:
        body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
        self._json(body, code, {"Retry-After": str(retry_after)} if retry_after else None)

    def _broken(self, fault: Fault) -> bool:
        """The faults that any request may have, before there is an answer."""
        match fault.what:
            case "status":
                reason = "Expired" if fault.number == 410 else ""
                self._status(fault.number, reason, "as the test wants", fault.retry_after)
            case "reset":
                raise _CutError
            case "hang":
                self.api.stopping.wait(fault.number or 30)
                raise _CutError
            case _:
                return False
        return True

    # Lists

    def _list(self, collection: str, query: dict[str, str]) -> None:
        fault = self.api.next_fault(collection, "list")
        if fault.what == "expire":
            self.api.expire_pages()
        if self._broken(fault):
            return
        page = self.api.page(collection, int(query.get("limit", 0)), query.get("continue", ""))
        if page is None:
            self._status(410, "Expired", "The provided continue parameter is too old")
            return
        revision, items, token = page
        partial = self._partial()
        body = {
            "kind": "List", "metadata": {"resourceVersion": str(revision), "continue": token},
            "items": [self._shown(item, listed=True, partial=partial) for item in items],
        }  # fmt: skip
        self._send_list(json.dumps(body).encode(), fault)

    def _send_list(self, text: bytes, fault: Fault) -> None:
        if fault.what == "not json":
            text = text[: len(text) // 2]
        if fault.what == "no list":
            text = b'{"kind": "List", "metadata": {}, "items": 7}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if fault.what == "cut":
            self.wfile.write(text[: len(text) // 2])
            raise _CutError
        if fault.what == "slow":
            for start in range(0, len(text), 1000):
                self.wfile.write(text[start : start + 1000])
                time.sleep(0.002)
            return
        self.wfile.write(text)

    def _partial(self) -> bool:
        return self.api.partial and "as=PartialObjectMetadata" in self.headers.get("Accept", "")

    def _shown(self, thing: Object, *, listed: bool, partial: bool) -> Object:
        if partial:
            return {
                "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                "metadata": thing["metadata"],
            }  # fmt: skip
        return {k: v for k, v in thing.items() if k not in ("apiVersion", "kind")} if listed else thing

    # Watches

    def _watch(self, collection: str, query: dict[str, str]) -> None:
        fault = self.api.next_fault(collection, "watch")
        if self._broken(fault):
            return
        start = int(query["resourceVersion"])
        if start < self.api.compacted and fault.what != "gone as event":
            self._status(410, "Expired", "too old resource version")
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if start < self.api.compacted:
            self._event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})
        else:
            self._stream(collection, start - (fault.number if fault.what == "replay" else 0), query, fault)
        self.wfile.write(b"0\r\n\r\n")

    def _stream(self, collection: str, here: int, query: dict[str, str], fault: Fault) -> None:
        until = time.monotonic() + float(query.get("timeoutSeconds", 60))
        partial, sent = self._partial(), 0
        while not self.api.stopping.is_set() and time.monotonic() < until:
            for entry in self.api.since(collection, here):
                if fault.what != "none" and sent == fault.after and self._goes_wrong(fault, entry):
                    return
                self._event(entry.type, self._shown(entry.object, listed=False, partial=partial))
                here, sent = entry.revision, sent + 1
            with self.api.changed:
                here = self._quiet(collection, here)

    def _quiet(self, collection: str, here: int) -> int:
        """Wait for more; a bookmark where nothing comes."""
        if self.api.since(collection, here):
            return here
        revision = self.api.revision
        quiet = not self.api.changed.wait(self.api.bookmark_seconds) and not self.api.since(collection, here)
        if not quiet or revision < here:  # who asks for the future hears nothing until then
            return here
        self._event("BOOKMARK", {"metadata": {"resourceVersion": str(revision)}})
        return revision

    def _goes_wrong(self, fault: Fault, entry: _Entry) -> bool:
        """One fault in a stream; whether the stream ends with it."""
        line = json.dumps({"type": entry.type, "object": entry.object}).encode() + b"\n"
        extra = {
            "garbage": b'{"type": "MODIFIED", "object": {"meta\n',
            "not utf-8": b'\xff\xfe{"type"}\n',
            "no object": b'{"type": "ADDED"}\n',
            "not an object": b'[1, 2]\n',
            "no metadata": b'{"type": "ADDED", "object": {"spec": {}}}\n',
            "no uid": b'{"type": "ADDED", "object": {"metadata": {"name": "x", "resourceVersion": "1"}}}\n',
            "unknown type": b'{"type": "SHINY", "object": {"metadata": {}}}\n',
            "deep": b'{"type": "ADDED", "object": ' + b"[" * 100_000 + b"\n",
            "large": b'{"type": "ADDED", "object": {"x": "' + b"x" * fault.number + b'"}}\n',
        }  # fmt: skip
        if fault.what in extra:
            self._chunk(extra[fault.what])
            return False
        match fault.what:
            case "cut":
                self._chunk(line[: len(line) // 2])
                raise _CutError
            case "cut chunk":
                self.wfile.write(f"{len(line):x}\r\n".encode() + line[:10])
                raise _CutError
            case "end mid-line":
                self._chunk(line[: len(line) // 2])
                return True
            case "end":
                return True
            case "silent":
                self.api.stopping.wait(30)
                raise _CutError
            case "error":
                self._event("ERROR", {"kind": "Status", "code": fault.number, "message": "as the test wants"})
                return True
            case "gone":
                self._event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "old"})
                return True
        return False

    def _event(self, what: str, thing: Object) -> None:
        self._chunk(json.dumps({"type": what, "object": thing}).encode() + b"\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    # Single objects

    def _one(self, method: str, collection: str, name: str) -> None:
        fault = self.api.next_fault(collection, method.lower())
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        if fault.what not in ("none", "lost answer") and self._broken(fault):
            return
        with self.api.changed:
            status, found = self._written(method, collection, name, body)
        if fault.what == "lost answer":
            raise _CutError
        if status >= 400:
            self._status(status, "", f"{name}: {status}")
        else:
            self._json(found, status)

    def _written(self, method: str, collection: str, name: str, body: Object) -> tuple[int, Object]:
        known = {key[1]: thing for key, thing in self.api.state(collection).items()}
        if method == "POST":
            if body["metadata"]["name"] in known:
                return 409, {}
            return 201, self.api.apply(collection, body)
        if name not in known:
            return 404, {}
        if method == "PUT":
            if body["metadata"].get("resourceVersion") != known[name]["metadata"]["resourceVersion"]:
                return 409, {}
            return 200, self.api.apply(collection, body)
        return 200, known[name]
