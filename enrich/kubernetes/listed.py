"""All objects of a cluster that policies are about, and its CronJobs, listed once."""

from __future__ import annotations

import time
from collections.abc import Iterator

from enrich import contents
from enrich.kubernetes import client, discovery, kinds, listing
from model import errors, manifest
from runtime import logs

_limited = logs.Limited(__name__)

_PAGE = 500
_MORE = {("", "Pod")}


def documents(api: client.Api) -> Iterator[manifest.Document]:
    """Each object, as far as we need it; kinds that the server does not serve have none.

    Raises:
        ApiError: If the server does not answer, or does not let us see a kind that verdicts follow from.
    """
    for kind in kinds.KINDS:
        key = kind.group, kind.name
        if key not in contents.KINDS | _MORE or not (place := _place(kind, api)):
            continue
        try:
            yield from _objects(kind, place, api)
        except errors.ApiError as error:
            if key not in contents.TIMED or error.refusal is not errors.Refusal.FORBIDDEN:
                raise
            _limited.warning("kind may not be listed", source=kind.key, error=str(error))


def _place(kind: kinds.Kind, api: client.Api) -> discovery.Place | None:
    try:
        return discovery.place(kind, api)
    except errors.ApiError as error:
        if error.refusal is errors.Refusal.ABSENT:
            return None
        raise


def _objects(kind: kinds.Kind, place: discovery.Place, api: client.Api) -> Iterator[manifest.Document]:
    under_way = listing.Listing(place, began=time.time_ns(), limit=_PAGE, accept=client.JSON)
    while not under_way.done:
        for item in under_way.page(api):
            thing = kind.slim(item)
            where = "/".join(
                filter(None, (kind.key, thing["metadata"].get("namespace"), thing["metadata"]["name"]))
            )
            yield manifest.Document(where, 1, thing)
