"""One kind of objects, listed and then watched, whatever the API server and the network do meanwhile.

    list page by page ──► watch from the list's revision ──► watch again from the last revision ──► …
      ▲  page expired          410, as status or event               connection lost, silent, 5xx, 429
      └─────────────────────────────┴── list again ◄── something unreadable went by, server restored

Memory holds a page, and while a list lasts the names of what it has.
"""

from __future__ import annotations

import dataclasses
import enum
import logging
import random
import sys
import threading

from enrich.kubernetes import (
    client,
    clock,
    discovery,
    events,
    freshness,
    kinds,
    lines,
    listing,
    news,
    pauses,
    position,
    tally,
)
from model import errors
from runtime import logs

_log = logging.getLogger(__name__)
_limited = logs.Limited(__name__)

_JOIN_SECONDS = 5.0
"""A thread that waits for the head of an answer cannot be woken; it delivers nothing any more."""

_NOT_ACCEPTABLE = 406
_MANY = 10_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How patient watchers are.

    Attributes:
        watch_seconds: After this long the server ends a watch, which is then begun again; so often at least
            we hear that nothing has happened.
        silence_seconds: A watch without a byte for so long is broken; more than ``watch_seconds``.
        ask_again_seconds: When to ask again for a kind that is not served or not permitted.
        repair_seconds: Something unreadable has a kind listed again, but not more often than this.
        first_pause_seconds: After a failure; then twice as long each time.
        longest_pause_seconds: At most.
        page: Objects a page of a list.
        line_bytes: The largest event that is read.
    """

    watch_seconds: int = 30
    silence_seconds: float = 45.0
    ask_again_seconds: float = 60.0
    repair_seconds: float = 60.0
    first_pause_seconds: float = 1.0
    longest_pause_seconds: float = 60.0
    page: int = 500
    line_bytes: int = lines.LARGEST


class State(enum.StrEnum):
    """What a watcher is about."""

    STARTING = "starting"
    LISTING = "listing"
    WATCHING = "watching"
    FAILING = "failing"
    """The API server does not do what it is asked for; we go on asking."""
    NOT_SERVED = "not served"
    FORBIDDEN = "forbidden"


_MISSING = {errors.Refusal.ABSENT: State.NOT_SERVED, errors.Refusal.FORBIDDEN: State.FORBIDDEN}


class _ReceiverError(Exception):
    """Whoever wants the news has failed."""


class Watcher:
    """Keeps a receiver informed of one kind.

    Args:
        kind: What to watch.
        api: Where.
        receiver: Who wants to know.
        pace: How patiently.
        counts: What is counted on the way.
        time: The clock.
    """

    def __init__(
        self, kind: kinds.Kind, api: client.Api, receiver: news.Receiver, *,
        pace: Pace, counts: tally.Tally, time: clock.Clock = clock.SYSTEM,
    ) -> None:  # fmt: skip
        self.kind = kind
        self.state = State.STARTING
        self.synced = False
        """Whether a first list has ended."""
        self.as_of = 0
        """Until when everything is known, in ns since 1970; see `freshness`."""
        self._api = api
        self._receiver = receiver
        self._pace = pace
        self._counts = counts
        self._time = time
        dice = random.Random()  # noqa: S311  # for scattering in time, not for secrets
        self._pauses = pauses.Pauses(pace.first_pause_seconds, pace.longest_pause_seconds, dice)
        self._freshness = freshness.Freshness()
        self._page = pace.page
        self._partial = kind.partial
        self._listing: listing.Listing | None = None
        self._position: position.Position | None = None
        self._doubt = ""
        self._repaired = float("-inf")
        self._failed_watches = 0
        self._interrupted = False
        self._stream: client.Stream | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{kind.key}", daemon=True)

    @property
    def missing(self) -> bool:
        """Whether the API server does not serve this kind, or does not let us see it."""
        return self.state in _MISSING.values()

    def start(self) -> None:
        """Begin to list and to watch."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Have the thread end soon; nothing is delivered any more but what is being delivered."""
        self._stopping.set()
        if stream := self._stream:
            stream.shutdown()

    def stop(self) -> None:
        """End the thread."""
        self.ask_to_stop()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            pause = self._step()
            if pause:
                self._time.wait(self._stopping, pause)

    def _step(self) -> float:
        """List what is to be listed, or watch for a while; seconds to wait then."""
        try:
            if self._position is None:
                self._list()
            else:
                self._watch(self._position)
        except errors.ApiError as error:
            return 0.0 if self._stopping.is_set() else self._refused(error)
        except events.UnreadableError as error:  # a page that is no list
            self._count_error(str(error), "kubernetes answer not understood")
            return self._failed()
        except _ReceiverError as error:
            self._count_error("receiver", "news not taken", error=repr(error.__cause__))
            self._list_again("receiver")
            return self._failed()
        except Exception as error:  # the edge of the loop: a list makes everything good again
            self._count_error("failed", "watching failed", error=repr(error))
            self._list_again("failed")
            return self._failed()
        return 0.0

    def _failed(self, asked: float = 0.0) -> float:
        self._enter(State.FAILING)
        self._interrupted = True
        return self._pauses.next(asked)

    def _enter(self, state: State) -> None:
        if self.missing and state in (State.LISTING, State.WATCHING):
            _log.info("kind can be watched now", extra={"fields": {"kind": self.kind.key}})
        self.state = state

    # Listing

    def _list(self) -> None:
        if self._listing is None:
            began = self._time.now()
            place = discovery.place(self.kind, self._api)
            if place is None:
                self._vanished(began)
                raise errors.ApiError(f"{self.kind.key} is not served", refusal=errors.Refusal.ABSENT)
            self._listing = listing.Listing(
                place, began=began, limit=self._page, accept=self._accept("PartialObjectMetadataList")
            )
        under_way = self._listing
        while not under_way.done:
            items, at = under_way.page(self._api), self._time.now()
            self._enter(State.LISTING)
            for item in items:
                self._listed(item, under_way, at)
            if self._stopping.is_set():
                return
        self._position = under_way.position()
        self._deliver(news.Listed(self.kind, tuple(under_way.present), under_way.began, self._time.now()))
        self._listing, self._page = None, self._pace.page
        self._doubt, self._interrupted, self.synced = "", False, True
        self._know(under_way.began)

    def _vanished(self, began: int) -> None:
        """A kind that was served once is not any more: nothing of it is left."""
        if self.synced:
            self._deliver(news.Listed(self.kind, (), began, self._time.now()))
            self.synced = False

    def _listed(self, item: object, under_way: listing.Listing, at: int) -> None:
        try:
            if not isinstance(item, dict):
                raise events.UnreadableError("without an object")
            present, revision = events.identity(item), events.revision(item)
            changed = self._changed(item, under_way.place, at)
        except events.UnreadableError as error:
            self._count_error(str(error), "kubernetes object not understood")
            return
        namespace = sys.intern(present.namespace)
        under_way.add(dataclasses.replace(present, namespace=namespace), revision)
        self._counts.event(self.kind.key, "listed")
        self._deliver(changed)

    def _list_again(self, reason: str) -> None:
        self._position = self._listing = None
        self._counts.relist(self.kind.key, reason)

    # Watching

    def _watch(self, here: position.Position) -> None:
        if self._interrupted:
            self._compare(here)
            self._interrupted = False
        query = {
            "watch": "1", "resourceVersion": here.revision, "allowWatchBookmarks": "true",
            "timeoutSeconds": str(self._pace.watch_seconds),
        }  # fmt: skip
        accept, silence = self._accept("PartialObjectMetadata"), self._pace.silence_seconds
        with self._api.stream(
            here.place.path, query, accept, silence=silence, line_bytes=self._pace.line_bytes
        ) as stream:
            self._stream = stream
            try:
                self._follow(stream, here)
            finally:
                self._stream = None

    def _compare(self, here: position.Position) -> None:
        """See that the server still has all that we have.

        One that was restored from a backup takes a watch from a revision that it will have some day, and is
        silent until then.
        """
        found = self._api.get(here.place.path, {"limit": "1"}, self._accept("PartialObjectMetadataList"))
        if here.is_beyond(events.revision(found)):
            raise errors.ApiError(
                f"{self.kind.key}: the server's history has become shorter", refusal=errors.Refusal.GONE
            )

    def _follow(self, stream: client.Stream, here: position.Position) -> None:
        self._enter(State.WATCHING)
        self._freshness.opened()
        began = waiting = self._time.monotonic()
        quiet = True
        for line in stream:
            if self._stopping.is_set():
                return
            came = self._time.monotonic()
            quiet = not self._line(line, here, came - waiting) and quiet
            waiting = self._time.monotonic()
            self._freshness.took(waiting - came)
            if self._repair_is_due(waiting):
                return
        if self._stopping.is_set():
            return
        lasted = self._time.monotonic() - began
        self._know(self._freshness.ended(lasted, self._pace.watch_seconds, self._time.now()))
        if quiet and lasted < self._pace.watch_seconds / 2:
            raise errors.ApiError(
                f"{self.kind.key}: the watch ended at once", refusal=errors.Refusal.UNAVAILABLE
            )
        self._works()
        self._interrupted = lasted < self._pace.watch_seconds * 0.9
        self._repair_is_due(self._time.monotonic())

    def _line(self, line: bytes, here: position.Position, waited: float) -> bool:
        """Take a line; whether an object has changed."""
        at = self._time.now()
        try:
            event = events.read(line)
            if event.type is events.Type.ERROR:
                self._counts.event(self.kind.key, event.type)
                self._failed_watches += 1
                raise _said(event.object, self.kind.key)
            fresh = self._take(event, here, at)
        except events.UnreadableError as error:
            self._doubt = "unreadable"
            self._count_error(str(error), "kubernetes event not understood")
            return False
        bookmark = event.type is events.Type.BOOKMARK
        if fresh:
            self._works()
            self._know(self._freshness.came(waited, at, bookmark=bookmark))
        return fresh and not bookmark

    def _take(self, event: events.Event, here: position.Position, at: int) -> bool:
        """Take an event over; whether it was news."""
        revision = events.revision(event.object)
        if event.type is events.Type.BOOKMARK:
            self._counts.event(self.kind.key, event.type)
            here.advance(revision)
            return True
        uid = events.identity(event.object).uid
        if here.is_known(uid, revision):
            self._counts.event(self.kind.key, "duplicate")
            # Calico's own API server, over etcd, tells of an end with the revision of the last change
            if event.type is events.Type.DELETED:
                self._doubt = "old end"
            return False
        if event.type is events.Type.DELETED:
            self._deliver(news.Gone(self.kind, self._slim(event.object, here.place), at))
            here.advance(revision, uid)
            here.forget(uid)
        else:
            self._deliver(self._changed(event.object, here.place, at))
            here.advance(revision, uid)
        self._counts.event(self.kind.key, event.type)
        return True

    def _repair_is_due(self, now: float) -> bool:
        """Have everything listed again after something doubtful, if that was not done a moment ago."""
        if not self._doubt or now - self._repaired < self._pace.repair_seconds:
            return False
        self._repaired = now
        self._list_again(self._doubt)
        return True

    def _works(self) -> None:
        self._pauses.reset()
        self._failed_watches = 0

    # Both

    def _accept(self, partial: str) -> str:
        all_of_it = client.JSON
        return f"{all_of_it};as={partial};g=meta.k8s.io;v=v1,{all_of_it}" if self._partial else all_of_it

    def _changed(self, thing: client.Object, place: discovery.Place, at: int) -> news.Changed:
        return news.Changed(self.kind, self._slim(thing, place), at, events.updated(thing))

    def _slim(self, thing: client.Object, place: discovery.Place) -> client.Object:
        try:
            return self.kind.slim(thing, place.version)
        except RecursionError:
            raise events.UnreadableError("nested too deeply") from None

    def _deliver(self, what: news.News) -> None:
        if self._stopping.is_set():
            return
        try:
            self._receiver.take(what)
        except Exception as error:
            raise _ReceiverError from error

    def _know(self, until: int) -> None:
        if not self._doubt and until > self.as_of:
            self.as_of = until

    def _count_error(self, reason: str, phrase: str, **fields: object) -> None:
        self._counts.error(self.kind.key, reason)
        _limited.warning(phrase, source=self.kind.key, reason=reason, **fields)

    def _refused(self, error: errors.ApiError) -> float:
        """What follows from a refusal; seconds to wait."""
        if error.refusal is not errors.Refusal.ABSENT:  # most clusters lack most of the kinds that we know
            self._counts.error(self.kind.key, error.refusal)
        if error.refusal in _MISSING:
            return self._lacking(_MISSING[error.refusal], error)
        if error.status == _NOT_ACCEPTABLE and self._partial:
            self._partial, self._listing = False, None
            return self._failed()
        if self._is_expired(error):
            return self._failed(error.retry_after)
        _limited.warning("kubernetes does not answer", source=self.kind.key, error=str(error))
        self._failed_watches += error.refusal is errors.Refusal.REFUSED
        if self._failed_watches > 1:  # it answers, but cannot go on from here: perhaps it can begin anew
            self._failed_watches = 0
            self._list_again("error")
        return self._failed(error.retry_after)

    def _lacking(self, state: State, error: errors.ApiError) -> float:
        if self.state is not state:
            level = logging.WARNING if state is State.FORBIDDEN or self.kind.required else logging.INFO
            fields = {"kind": self.kind.key, "reason": str(error)}
            _log.log(level, "kind cannot be watched", extra={"fields": fields})
        self.state, self._listing = state, None
        if state is State.NOT_SERVED:
            self._position = None
        return self._pace.ask_again_seconds

    def _is_expired(self, error: errors.ApiError) -> bool:
        """Whether a refusal means that a list or a watch cannot go on from where it is."""
        going_on = self._listing is not None and self._listing.under_way
        if error.refusal is errors.Refusal.GONE or (error.refusal is errors.Refusal.REFUSED and going_on):
            if going_on:  # it took longer than the server keeps the pages of a list
                self._page = min(self._page * 2, _MANY)
            self._list_again("page expired" if going_on else "gone")
            return True
        return False


def _said(status: client.Object, what: str) -> errors.ApiError:
    """The refusal that an event of type ERROR carries."""
    code = status.get("code")
    return client.refusal(code if isinstance(code, int) else 500, status, f"watch of {what}")
