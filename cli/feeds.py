"""Who knows the cluster, by the settings; and the ledger as such a one."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from enrich import changes, identity, manifests, stored, tables
from enrich import names as known_names
from model import columns, errors
from runtime import memory, metrics, settings
from store import names, transport

if TYPE_CHECKING:
    from enrich.kubernetes import feed

KINDS = ("kubernetes", "store", "manifests", "none")
_HOUR = 3600 * 1_000_000_000
_SECOND = 1_000_000_000


def kind(configured: settings.Enrich, in_pod: str, environment: Mapping[str, str] = os.environ) -> str:
    """Which feed the settings mean.

    Args:
        configured: The settings.
        in_pod: What an empty one means in a pod of a cluster.
        environment: Tells whether this is one.

    Raises:
        SetupError: If there is no such feed, or its folder is not named.
    """
    wanted = configured.feed
    if not wanted:
        wanted = "manifests" if configured.manifests else "none"
        if wanted == "none" and "KUBERNETES_SERVICE_HOST" in environment:
            wanted = in_pod
    if wanted not in KINDS:
        raise errors.SetupError(f"enrich.feed must be one of {', '.join(KINDS)}, is {wanted!r}")
    if wanted == "manifests" and not configured.manifests:
        raise errors.SetupError("the feed is manifests: name their folder with --manifests")
    return wanted


class Ledger:
    """What the ledger knows of a cluster; it is opened later than this is made."""

    def __init__(self) -> None:
        self._ledger: transport.Transport | None = None

    def open(self, ledger: transport.Transport) -> None:
        """Ask this from now on."""
        self._ledger = ledger

    def endpoints(self, written_after: int | None, ended_after: int) -> pa.Table:
        """Claims to addresses; here and below as `names` has them.

        Raises:
            StoreError: If the ledger does not answer, or there is none yet.
        """
        return names.endpoints(self._opened(), written_after, ended_after)

    def services(self, written_after: int | None, ended_after: int) -> pa.Table:
        """Ports of services."""
        return names.services(self._opened(), written_after, ended_after)

    def policies(self, written_after: int | None, ended_after: int) -> pa.Table:
        """Revisions of what policies are read from."""
        return names.policies(self._opened(), written_after, ended_after)

    def labels(self, ids: Collection[int]) -> pa.Table:
        """Label sets."""
        return names.labels(self._opened(), ids)

    def watched(self) -> pa.Table:
        """From when until when that is complete."""
        return names.watched(self._opened())

    def _opened(self) -> transport.Transport:
        if self._ledger is None:
            raise errors.StoreError("there is no ledger to ask yet")
        return self._ledger


def local(which: str, configured: settings.Enrich, ledger: Ledger) -> stored.Stored | manifests.Folder | None:
    """The feeds that need nobody but this machine and the ledger.

    Raises:
        SetupError: If the folder is not there.
        ManifestError: If a file in it is wrong.
    """
    remember = int(configured.remember_hours * _HOUR)
    if which == "store":
        return stored.Stored(ledger, poll_seconds=configured.poll_seconds, remember=remember)
    if which == "manifests":
        return manifests.Folder(pathlib.Path(configured.manifests))
    return None


def written(ledger: transport.Transport) -> tuple[changes.Changes, int]:
    """All that is written of a cluster and lasts, and until when that was all, in ns since 1970.

    Raises:
        StoreError: If the ledger does not answer.
    """
    at = time.time_ns()
    watched = names.watched(ledger).column("as_of")
    alive = int(columns.numbers(watched.combine_chunks()).max()) if len(watched) else 0
    known = changes.Changes(
        claims=tuple(tables.claims(names.endpoints(ledger, ended_after=at))),
        ports=tuple(tables.ports(names.services(ledger, ended_after=at))),
        revisions=tuple(tables.revisions(names.policies(ledger, ended_after=at))),
    )
    return known, alive


def ended(ledger: transport.Transport, since: int, uids: Collection[str]) -> tuple[identity.Claim, ...]:
    """What is written of some pods and nodes that have ended.

    Args:
        ledger: Where to ask.
        since: What had ended by then, in ns since 1970, is left out.
        uids: Of the pods and nodes.

    Raises:
        StoreError: If the ledger does not answer.
    """
    if not uids:
        return ()
    found = names.endpoints(ledger, ended_after=since)
    wanted = pc.is_in(found.column("uid"), columns.strings(sorted(uids)))
    return tuple(one for one in tables.claims(found.filter(wanted)) if one.valid_to != identity.FOREVER)


def cluster(
    configured: settings.Enrich, measured: metrics.Metrics, ledger: transport.Transport | None
) -> feed.Cluster:
    """The API server as a feed, which has to be started.

    Args:
        configured: The settings.
        measured: The process's metrics.
        ledger: Where what was known before is written; None if nobody has written it.

    Raises:
        SetupError: If nothing says where the API server is, or the client is not installed.
        StoreError: If the ledger does not answer.
    """
    # Only who watches needs the client, which is large.
    from enrich.kubernetes import client, feed

    api = client.connect(configured.kubeconfig, configured.context)
    known, alive = written(ledger) if ledger else (changes.Changes(), 0)
    remember = int(configured.remember_hours * _HOUR)
    found = feed.Cluster(
        api, measured, known=known, alive=alive, remember=remember,
        tolerance=int(configured.clock_tolerance_seconds * _SECOND),
    )  # fmt: skip
    if ledger:
        _recall(found.names, ledger, time.time_ns() - remember)
    return found


def _recall(known: known_names.Names, ledger: transport.Transport, ended_after: int) -> None:
    """Have names known that ended before this process began: flows in the ledger have them."""
    watched = names.watched(ledger).column("since")
    if not len(watched):
        return
    since = max(ended_after, int(columns.numbers(watched.combine_chunks()).max()))
    past = changes.Changes(
        ports=tuple(tables.ports(names.services(ledger, ended_after=ended_after))),
        revisions=tables.Revisions(names.policies(ledger, ended_after=ended_after)),
    )
    known.recall(tables.claims(names.endpoints(ledger, ended_after=ended_after)), past, since)
    memory.trim()
