"""The policies of a feed, as the collector needs them: what their rules look like in the kernel."""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping

from cli import nodepolicies
from collector import collector
from enrich import changes, contents, identity
from model import cluster, errors, manifest
from policy import owners, parse, prefixes
from runtime import logs, metrics

_limited = logs.Limited(__name__)

_Key = tuple[str, str, str, str]
"""API group, kind, namespace, name."""

_AROUND = ("Namespace", "ServiceAccount", "NetworkSet", "GlobalNetworkSet", "HostEndpoint", "IPPool")
"""What is no policy, and what policies speak of."""
_LEFT_ALONE = ("Node", "Service", "ServiceAccount", "EndpointSlice", "CronJob")
"""Kinds that say nothing about what rules look like here; what is behind services is not known on a node."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Kept:
    """A document as compressed text, which takes a small part of the memory."""

    file: str
    index: int
    text: bytes

    def document(self) -> manifest.Document:
        return manifest.Document(self.file, self.index, json.loads(zlib.decompress(self.text)))


class Policies:
    """Follows the objects that policies are read from.

    One that cannot be read is counted, and its last good content stays in force here, as it does in a cluster
    whose dataplane cannot read it either.

    Args:
        measured: The process's metrics.
    """

    def __init__(self, measured: metrics.Metrics) -> None:
        self._metrics = measured
        self._kept: dict[_Key, _Kept] = {}
        self._known = _known({})
        self._stale = False
        self._serial = self._changed = 0
        self._heard: dict[_Key, tuple[int, str]] = {}
        self._refused: set[_Key] = set()

    def given(self) -> nodepolicies.Given:
        """The policies that are in force now, and what else they are read with."""
        serial = -1 if self._refused else self._serial
        return nodepolicies.Given(serial, self._changed, self._around, self._about)

    def _around(self) -> Iterator[manifest.Document]:
        return (one.document() for (_, kind, _, _), one in self._kept.items() if kind in _AROUND)

    def _about(self, namespace: str) -> Iterator[manifest.Document]:
        return (
            one.document() for (_, kind, space, _), one in self._kept.items()
            if kind not in _AROUND and space == namespace
        )  # fmt: skip

    def known(self) -> collector.Policies:
        """What rules look like that are made from the policies known now; worked out when it is asked for."""
        if self._stale:
            self._stale = False
            try:
                self._known = _known(self._kept)
            except errors.ManifestError as error:
                self._refuse("", error)
        return self._known

    def take(self, revisions: Collection[changes.Revision]) -> None:
        """Learn what is new."""
        last = {(key, one.valid_from): one.valid_to for key, one in _mattering(revisions)}
        going_on = {key for (key, _), until in last.items() if until == identity.FOREVER}
        for (key, since), until in last.items():
            if until == identity.FOREVER:
                continue
            self._changed = max(self._changed, until)  # whether it was heard of before or not
            if self._heard.get(key, (-1, ""))[0] == since:
                self._change(until)
                # else what it was before stays, in case that what comes cannot be read
                if key not in going_on:
                    self._heard.pop(key)
                    self._kept.pop(key, None)
                    self._refused.discard(key)
        for key, one in _mattering(revisions):
            stamp = one.valid_from, one.digest
            # of several words about one revision the last counts; feeds say some of them twice
            if last[key, one.valid_from] == identity.FOREVER and self._heard.get(key) != stamp:
                self._heard[key] = stamp
                self._change(one.valid_from)
                self._replace(key, one)

    def _change(self, moment: int) -> None:
        self._stale = True
        self._serial += 1
        self._changed = max(self._changed, moment)

    def _replace(self, key: _Key, one: changes.Revision) -> None:
        good = self._good(one.document)
        if good:
            self._kept[key] = good
            self._refused.discard(key)
        else:
            self._refused.add(key)

    @staticmethod
    def require(revisions: Iterable[changes.Revision]) -> None:
        """Make sure that all are understood.

        Raises:
            ManifestError: If one is not.
        """
        parse.parse(one.document for one in revisions)

    def _good(self, document: manifest.Document) -> _Kept | None:
        try:
            parse.parse([document])
            if document.kind in _AROUND:
                cluster.read([document])
        except errors.ManifestError as error:
            self._refuse(document.kind, error)
            return None
        text = zlib.compress(contents.text(document).encode(), level=1)
        return _Kept(document.file, document.index, text)

    def _refuse(self, kind: str, error: errors.ManifestError) -> None:
        self._metrics.refused_objects.labels(kind).inc()
        _limited.warning("policies not taken over", source=kind, error=str(error))


def _mattering(revisions: Iterable[changes.Revision]) -> Iterator[tuple[_Key, changes.Revision]]:
    for one in revisions:
        # of accounts their labels alone matter, and few have any
        labelled = one.kind == "ServiceAccount" and one.document.field().at("metadata", "labels")
        if labelled or one.kind not in _LEFT_ALONE:
            yield (one.api_group, one.kind, one.namespace, one.name), one


def _known(kept: Mapping[_Key, _Kept]) -> collector.Policies:
    names = [name for _, kind, _, name in kept if kind == "Namespace"]
    known = parse.parse(one.document() for one in kept.values())
    return collector.Policies(prefixes=prefixes.table(known, names), chains=owners.table(known, names))
