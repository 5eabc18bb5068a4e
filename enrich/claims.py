"""Claims as columns: so many that no object for each would do."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from enrich import identities, identity, spans
from model import address, asof, keyindex

_ROW = np.dtype([
    ("high", "u8"), ("low", "u8"), ("uid", "i8"), ("owner", "i4"), ("valid_from", "i8"), ("sure_from", "i8"),
    ("sure_to", "i8"), ("valid_to", "i8"),
])  # fmt: skip

Rows = npt.NDArray[Any]
"""Claims: the two words of the address, a hash of the uid, the identity's number, times in ns since 1970."""

_AT_ONCE = 5_000

NONE: Rows = np.zeros(0, _ROW)


def rows(claims: Iterable[identity.Claim], known: identities.Identities) -> Rows:
    """Claims as columns; their identities are known by number from then on.

    Claims that are made as they are asked for are not held all at once.
    """
    left = iter(claims)
    parts = iter(lambda: list(itertools.islice(left, _AT_ONCE)), [])
    return np.concatenate([NONE, *(_rows(part, known) for part in parts)])


def _rows(claims: list[identity.Claim], known: identities.Identities) -> Rows:
    found = np.zeros(len(claims), _ROW)
    packed = np.frombuffer(b"".join(one.address for one in claims), np.uint8).reshape(-1, 16)
    found["high"], found["low"] = address.words(packed)
    found["uid"] = [hash(one.uid) for one in claims]
    found["owner"] = [known.code(one.identity) for one in claims]
    for name in ("valid_from", "sure_from", "sure_to", "valid_to"):
        found[name] = [getattr(one, name) for one in claims]
    return found


def updated(before: Rows, later: Rows) -> Rows:
    """What is said later of a claim takes the place of what was said before; one of no time is taken back."""
    last = _last_of_each(later)
    at = keyindex.KeyIndex(_which(last)).find(_which(before))
    replaced = np.flatnonzero(at >= 0)
    new = np.ones(len(last), bool)
    new[at[replaced]] = False
    found = np.concatenate([before, last[new]])
    found[replaced] = last[at[replaced]]
    lasting = found["valid_from"] < found["valid_to"]
    return found if lasting.all() else found[lasting]


def keys(claims: Rows) -> asof.Keys:
    """What each claims, as a key to look up."""
    return spans.keys(claims["high"], claims["low"])


def claimed(claims: Rows) -> spans.Claimed:
    """Claims in the form that an index is made from."""
    times = {
        name: np.ascontiguousarray(claims[name])
        for name in ("valid_from", "sure_from", "sure_to", "valid_to")
    }
    return spans.Claimed(keys=keys(claims), owners=np.ascontiguousarray(claims["owner"]), **times)


def _which(claims: Rows) -> asof.Keys:
    """What tells claims apart."""
    return spans.keys(claims["high"], claims["low"], claims["uid"], claims["valid_from"])


def _last_of_each(claims: Rows) -> Rows:
    """Without those of which more is said further on."""
    _, place = np.unique(_which(claims)[::-1], return_index=True)
    found: Rows = claims[len(claims) - 1 - np.sort(place)[::-1]]
    return found
