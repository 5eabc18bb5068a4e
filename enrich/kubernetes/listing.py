"""A list of all objects of a kind under way, page by page."""

from __future__ import annotations

from typing import Any, Protocol

from enrich.kubernetes import client, discovery, events, news, position
from model import errors


class Getter(Protocol):
    """What a page is asked of; `client.Api` is one."""

    def get(self, path: str, query: client.Query | None = None, accept: str = client.JSON) -> client.Object:
        """What is at a path."""


class Listing:
    """A list that goes on where it was after a page could not be had.

    Of the objects only the names are held, until the end.

    Args:
        place: What to list.
        began: When, in ns since 1970.
        limit: Objects a page.
        accept: In which form to ask for it.
    """

    def __init__(self, place: discovery.Place, *, began: int, limit: int, accept: str) -> None:
        self.place = place
        self.began = began
        self.accept = accept
        self.done = False
        self.present: list[news.Present] = []
        self._limit = limit
        self._token = ""
        self._revision = ""
        self._seen: dict[str, str] = {}

    @property
    def under_way(self) -> bool:
        """Whether a page was had, and more are to come."""
        return bool(self._token)

    def page(self, api: Getter) -> list[Any]:
        """The items of the next page; whatever the server has put there.

        A page that is too large is asked for again with half the objects.

        Raises:
            ApiError: If it cannot be had.
            UnreadableError: If the answer is no list.
        """
        query = {"limit": str(self._limit)} | ({"continue": self._token} if self._token else {})
        try:
            found = api.get(self.place.path, query, self.accept)
        except errors.ApiError as error:
            if error.refusal is errors.Refusal.TOO_LARGE and self._limit > 1:
                self._limit //= 2
                return []
            raise
        items = found.get("items")
        if not isinstance(items, list | None):
            raise events.UnreadableError("no list")
        # Where a server lists pages as of different revisions, what came meanwhile is behind the first one.
        self._revision = self._revision or events.revision(found)
        token = found["metadata"].get("continue")
        self._token = token if isinstance(token, str) else ""
        self.done = not self._token
        return items or []

    def add(self, present: news.Present, revision: str) -> None:
        """An item was taken."""
        self.present.append(present)
        if not position.is_number(revision):
            self._seen[present.uid] = revision

    def position(self) -> position.Position:
        """Where to watch from."""
        return position.Position(self.place, self._revision, self._seen)
