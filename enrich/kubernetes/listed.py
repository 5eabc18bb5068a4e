"""All objects of a cluster that policies are about, listed once."""

from __future__ import annotations

import time
from collections.abc import Iterator

from enrich import contents
from enrich.kubernetes import client, discovery, kinds, listing
from model import errors, manifest

_PAGE = 500
_MORE = {("", "Pod")}


def documents(api: client.Api) -> Iterator[manifest.Document]:
    """Each object, as far as we need it; kinds that the server does not serve have none.

    Raises:
        ApiError: If the server does not answer, or does not let us see a kind.
    """
    for kind in kinds.KINDS:
        if (kind.group, kind.name) not in contents.KINDS | _MORE:
            continue
        try:
            place = discovery.place(kind, api)
        except errors.ApiError as error:
            if error.refusal is errors.Refusal.ABSENT:
                continue
            raise
        if place is None:
            continue
        under_way = listing.Listing(place, began=time.time_ns(), limit=_PAGE, accept=client.JSON)
        while not under_way.done:
            for item in under_way.page(api):
                thing = kind.slim(item)
                where = "/".join(
                    filter(None, (kind.key, thing["metadata"].get("namespace"), thing["metadata"]["name"]))
                )
                yield manifest.Document(where, 1, thing)
