"""Which of several processes does what only one may do: a Lease of the API server says so.

Clocks of other machines are never compared with ours. A candidate takes a lease over when it has itself seen
it unchanged for as long as the holder promised to renew it, by its own monotonic time. A holder counts from
before it asked for its last renewal, and gives up well before that promise ends: so it has stopped before
anybody can have begun. That holds while it hangs in a request, too, as `Elector.is_leader` looks at the time
itself.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
import threading
from collections.abc import Callable
from typing import Any

from enrich.kubernetes import client, clock
from model import errors
from runtime import logs

_log = logging.getLogger(__name__)
_limited = logs.Limited(__name__)

_API = "coordination.k8s.io/v1"
_JOIN_SECONDS = 5.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long a lease is good for.

    Attributes:
        lease_seconds: After so long without renewal others may take it over. A whole number, as the API's is.
        give_up_seconds: After so long without renewal the holder steps down; less than ``lease_seconds``.
        retry_seconds: How often to renew, and to look whether it is free; also how long a request may take.
    """

    lease_seconds: int = 15
    give_up_seconds: float = 10.0
    retry_seconds: float = 2.0


class Elector:
    """Takes a lease when it is free, and keeps it.

    Args:
        api: The API server.
        namespace: Of the lease.
        name: Of the lease.
        holder: What names this process and no other that there ever was, such as the pod's name and uid.
        gained: Called, by the elector's thread, when we have become the leader.
        lost: Called, by the same thread, when we are the leader no longer, at the end as well.
        terms: How long it is good for.
        time: The clock.
    """

    def __init__(
        self, api: client.Api, namespace: str, name: str, holder: str, *,
        gained: Callable[[], None] = lambda: None, lost: Callable[[], None] = lambda: None,
        terms: Terms | None = None, time: clock.Clock = clock.SYSTEM,
    ) -> None:  # fmt: skip
        self._api = api
        self._collection = f"/apis/{_API}/namespaces/{namespace}/leases"
        self._namespace, self._name, self._holder = namespace, name, holder
        self._gained, self._lost = gained, lost
        self._terms = terms or Terms()
        self._time = time
        self._held: client.Object | None = None
        self._renewed = float("-inf")
        self._leading = False
        self._sight: tuple[str, float] = ("", 0.0)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"lease-{name}", daemon=True)

    def is_leader(self) -> bool:
        """Whether nobody else can hold the lease at this moment."""
        return self._held is not None and self._time.monotonic() - self._renewed < self._terms.give_up_seconds

    def start(self) -> None:
        """Begin to try."""
        self._thread.start()

    def stop(self) -> None:
        """Give the lease back, so that another can have it at once."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_SECONDS + 2 * self._terms.retry_seconds)

    def step(self) -> None:
        """Take or renew the lease, or look whether it is free, once; and say what has come of it."""
        try:
            self._try()
        except errors.ApiError as error:
            if (
                error.refusal is not errors.Refusal.CONFLICT
            ):  # else somebody was faster; the next look says who
                _limited.warning("lease not renewed", source=self._name, error=str(error))
        self._announce()

    def release(self) -> None:
        """Give the lease back, if it is ours, and say that we have."""
        held, ours, self._held = self._held, self.is_leader(), None
        self._announce()
        if held is None or not ours:
            return
        spec = {**_spec(held), "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            self._api.put(self._path, {**held, "spec": spec}, seconds=self._terms.retry_seconds)
        except errors.ApiError as error:  # then it runs out by itself
            _log.warning("lease not given back", extra={"fields": {"lease": self._name, "error": str(error)}})

    @property
    def _path(self) -> str:
        return f"{self._collection}/{self._name}"

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.step()
            except Exception:  # the edge of the loop: a callback that failed, an answer that is no lease
                _log.exception("election failed", extra={"fields": {"lease": self._name}})
            self._time.wait(self._stopping, self._terms.retry_seconds)
        self.release()

    def _announce(self) -> None:
        if self.is_leader() == self._leading:
            return
        self._leading = not self._leading
        what = "lease taken" if self._leading else "lease lost"
        _log.info(what, extra={"fields": {"lease": self._name, "holder": self._holder}})
        (self._gained if self._leading else self._lost)()

    def _try(self) -> None:
        if self._held is not None and self.is_leader():
            self._renew(self._held)
            return
        self._held = None
        found = self._look()
        if found is None:
            body = {
                "apiVersion": _API, "kind": "Lease",
                "metadata": {"namespace": self._namespace, "name": self._name},
                "spec": self._spec({}, transitions=0),
            }  # fmt: skip
            self._hold(self._api.post, self._collection, body)
        elif self._is_free(found):
            self._hold(self._api.put, self._path, self._takeover(found))

    def _renew(self, held: client.Object) -> None:
        try:
            self._hold(self._api.put, self._path, self._renewal(held))
        except errors.ApiError as error:
            if error.refusal is not errors.Refusal.CONFLICT:
                raise
            # Either a renewal of ours was taken whose answer we never saw, or somebody has overridden us.
            found = self._look()
            ours = found is not None and _spec(found).get("holderIdentity") == self._holder
            self._held = found if ours else None

    def _hold(self, write: Callable[..., client.Object], path: str, body: client.Object) -> None:
        asked = self._time.monotonic()
        self._held = write(path, body, seconds=self._terms.retry_seconds)
        self._renewed = asked

    def _look(self) -> client.Object | None:
        try:
            return self._api.get(self._path, seconds=self._terms.retry_seconds)
        except errors.ApiError as error:
            if error.refusal is errors.Refusal.ABSENT:
                return None
            raise

    def _is_free(self, found: client.Object) -> bool:
        """Whether nobody holds it, or we have watched it for as long as its holder may leave it unrenewed."""
        spec, now = _spec(found), self._time.monotonic()
        if spec.get("holderIdentity") in (self._holder, "", None):
            return True
        revision = str(found.get("metadata", {}).get("resourceVersion"))
        if revision != self._sight[0]:
            self._sight = revision, now
        promised = spec.get("leaseDurationSeconds")
        seconds = promised if isinstance(promised, int) else self._terms.lease_seconds
        return now - self._sight[1] >= seconds

    def _renewal(self, held: client.Object) -> client.Object:
        return {**held, "spec": {**_spec(held), "renewTime": self._stamp()}}

    def _takeover(self, found: client.Object) -> client.Object:
        spec = _spec(found)
        before = spec.get("leaseTransitions")
        changes = spec.get("holderIdentity") != self._holder
        transitions = (before if isinstance(before, int) else 0) + changes
        return {**found, "spec": self._spec(spec, transitions=transitions)}

    def _spec(self, spec: client.Object, *, transitions: int) -> dict[str, Any]:
        return {
            **spec, "holderIdentity": self._holder, "leaseDurationSeconds": self._terms.lease_seconds,
            "acquireTime": self._stamp(), "renewTime": self._stamp(), "leaseTransitions": transitions,
        }  # fmt: skip

    def _stamp(self) -> str:
        """Now, as the API writes it; for people to read, and for nothing else."""
        moment = datetime.datetime.fromtimestamp(self._time.now() / 1e9, datetime.UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _spec(found: client.Object) -> client.Object:
    spec = found.get("spec")
    return spec if isinstance(spec, dict) else {}
