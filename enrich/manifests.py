"""The feed from a folder of manifests: pods, nodes, services, network sets as files, read when they change.

For clusters without an API server to ask, and for the lab. A pod's file has to carry its ``status`` (address,
``startTime``); once the pod is gone, ``metadata.deletionTimestamp`` says since when its address is free, or
else the file goes.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Collection, Mapping

from enrich import changes, contents, history, lives, names
from model import cluster, errors, manifest
from runtime import logs

_limited = logs.Limited(__name__)

_Stamp = tuple[int, int, int]


class Folder:
    """A folder of manifests.

    Args:
        path: A folder, or one file.
        now: The time, in ns since 1970.

    Raises:
        SetupError: If there is no such folder.
        ManifestError: If a file in it is wrong at the start. A file that is broken later keeps its last
            good content, and a warning says so.
    """

    def __init__(self, path: pathlib.Path, now: Callable[[], int] = time.time_ns) -> None:
        self._path, self._now = path, now
        self._files: dict[pathlib.Path, tuple[_Stamp, list[manifest.Document]]] = {}
        self._history = history.History(lives.Clock(exact=True))
        self._kinds: set[tuple[str, str]] = set()
        self._read_at = now()
        self.names = names.Names()
        """All that it has said."""
        for file in manifest.files(path):
            self._files[file] = _stamp(file), _documents(file)
        self._learned: changes.Changes | None = self._learn(set(self._files))

    def refresh(self) -> changes.Changes:
        """Read what has changed, and say what is new."""
        learned, self._learned = self._learned, None
        return learned or self._learn(self._changed())

    def label_sets(self, ids: Collection[int]) -> Mapping[int, dict[str, str]]:
        """Label sets by their numbers."""
        return self.names.label_sets(ids)

    def said(self) -> changes.Changes:
        """All that it has found out and remembers."""
        return self._history.said()

    def _changed(self) -> set[pathlib.Path]:
        """The files whose documents are others now."""
        try:
            files = manifest.files(self._path)
        except errors.SetupError as error:  # for a moment, or for good: what we know is the best we have
            _limited.warning("manifests are away", error=str(error))
            return set()
        changed = set()
        for file in files:
            try:
                stamp = _stamp(file)
                if file not in self._files or self._files[file][0] != stamp:
                    self._files[file] = stamp, self._read(file)
                    changed.add(file)
            except FileNotFoundError:  # it went between listing and reading
                continue
        gone = self._files.keys() - set(files)
        for file in gone:
            del self._files[file]
        return changed | gone

    def _read(self, file: pathlib.Path) -> list[manifest.Document]:
        try:
            return _documents(file)
        except errors.ManifestError as error:
            _limited.warning("manifest not taken over", error=str(error))
            return self._files[file][1] if file in self._files else []

    def _learn(self, changed: set[pathlib.Path]) -> changes.Changes:
        at, alive, self._read_at = self._now(), self._read_at, self._now()
        self.names.cover(0, at)
        if not changed:
            return changes.Changes()
        for file in changed & self._files.keys():
            for document in self._files[file][1]:
                self._history.changed(document, at)
        self._count(alive, at)
        news = self._history.news()
        self.names.take(news)
        return news

    def _count(self, alive: int, at: int) -> None:
        """Say what there is, so that the rest is known to be gone."""
        present: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
        for _, documents in self._files.values():
            for document in documents:
                group, kind, namespace, name = contents.owner(document)
                uid = document.field().at("metadata", "uid")
                present.setdefault((group, kind), []).append((namespace, name, uid.text() if uid else ""))
        for group, kind in self._kinds | present.keys():
            self._history.listed(group, kind, present.get((group, kind), []), alive, at)
        self._kinds = set(present)


def _documents(file: pathlib.Path) -> list[manifest.Document]:
    """What there is of use in a file.

    Raises:
        ManifestError: If it is wrong.
    """
    documents = manifest.read(file)
    cluster.read(documents)
    kept = [document for document in documents if (document.group, document.kind) in history.KINDS]
    for document in kept:
        contents.owner(document)
    return kept


def _stamp(file: pathlib.Path) -> _Stamp:
    status = file.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino
