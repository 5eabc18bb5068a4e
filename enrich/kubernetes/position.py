"""Where in the history of a kind we are, so that nothing comes twice."""

from __future__ import annotations

from enrich.kubernetes import discovery


class Position:
    """The revision up to which everything was taken.

    The API's revisions grow, within a kind, from event to event: what is not beyond ours we had. Some servers
    of other groups (Calico's, for profiles) have revisions that are no numbers. For these we remember each
    object's last one, and drop what has the very same.

    Args:
        place: Where the kind is served.
        revision: Of a list that was taken.
        seen: The revisions that are no numbers, by uid, of its objects.
    """

    def __init__(self, place: discovery.Place, revision: str, seen: dict[str, str]) -> None:
        self.place = place
        self.revision = revision
        self._number = int(revision) if is_number(revision) else None
        self._seen = seen

    def is_known(self, uid: str, revision: str) -> bool:
        """Whether we had this state of this object."""
        if self._number is not None and is_number(revision):
            return int(revision) <= self._number
        return self._seen.get(uid) == revision

    def is_beyond(self, revision: str) -> bool:
        """Whether what we had is later than this."""
        return self._number is not None and is_number(revision) and int(revision) < self._number

    def advance(self, revision: str, uid: str = "") -> None:
        """What has this revision is taken."""
        if is_number(revision):
            if self._number is not None and int(revision) <= self._number:
                return
            self._number = int(revision)
        elif uid:
            self._seen[uid] = revision
        self.revision = revision

    def forget(self, uid: str) -> None:
        """An object was deleted."""
        self._seen.pop(uid, None)


def is_number(revision: str) -> bool:
    """Whether a revision can be compared."""
    return revision.isascii() and revision.isdecimal()
