"""Someone who wants the news, and keeps exactly the state that they give; and time that passes quickly."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from apiserver import ApiServer, Object

from enrich.kubernetes import client, discovery, kinds, news

KINDS = {kind.key: kind for kind in kinds.KINDS}


class HastyClock:
    """Real time, but waiting is cut short."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def now(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, stopping: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        return stopping.wait(min(seconds, 0.005))


class Mirror:
    """The state by the news alone.

    Attributes:
        doubled: What came twice although no list had begun in between.
    """

    def __init__(self, server: ApiServer | None = None) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._seen: set[tuple[object, ...]] = set()
        self.state: dict[str, dict[tuple[str, str], Object]] = {key: {} for key in KINDS}
        self.uids: dict[tuple[str, str, str], str] = {}
        self.doubled: list[tuple[object, ...]] = []
        self.taken: list[news.News] = []
        self.fails = 0

    def take(self, what: news.News) -> None:
        with self._lock:
            if self.fails:
                self.fails -= 1
                raise RuntimeError("the receiver is out of order")
            self.taken.append(what)
            known = self.state[what.kind.key]
            if isinstance(what, news.Listed):
                present = {(one.namespace, one.name) for one in what.present}
                for gone in known.keys() - present:
                    del known[gone]
                return
            metadata = what.object["metadata"]
            key = metadata.get("namespace", ""), metadata["name"]
            self._once(what.kind, metadata)
            if isinstance(what, news.Gone):
                known.pop(key, None)
            else:
                known[key] = what.object

    def _once(self, kind: kinds.Kind, metadata: Object) -> None:
        begun = 0
        if self._server:
            begun = sum(n for c, n in self._server.lists.items() if c.endswith(f"/{kind.plural}"))
        mark = kind.key, begun, metadata["uid"], metadata["resourceVersion"]
        if mark in self._seen:
            self.doubled.append(mark)
        self._seen.add(mark)


def expected(server: ApiServer, api: client.Api, key: str) -> dict[tuple[str, str], Object]:
    """What a mirror has to have."""
    kind = KINDS[key]
    place = discovery.place(kind, api)
    if place is None:
        return {}
    return {name: kind.slim(thing, place.version) for name, thing in server.state(place.path).items()}


def until(claim: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether something comes true in time."""
    limit = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > limit:
            return False
        time.sleep(0.005)
    return True


def pod(name: str, namespace: str = "shop", **more: object) -> Object:
    """A pod as an API server has it, with what we need and what we do not."""
    return {
        "metadata": {
            "name": name, "namespace": namespace, "labels": {"app": name.partition("-")[0]},
            "annotations": {"cni.projectcalico.org/podIP": "10.1.0.1/32", "other": "x" * 50},
        },
        "spec": {
            "nodeName": "node-1",
            "containers": [
                {"name": "web", "image": "web:1", "ports": [{"containerPort": 8080, "name": "http"}]}
            ],
        },
        "status": {"phase": "Running", "podIP": "10.1.0.1", "podIPs": [{"ip": "10.1.0.1"}], **more},
    }  # fmt: skip


def policy(name: str, namespace: str = "shop", **spec: object) -> Object:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"podSelector": {}, **spec}}
