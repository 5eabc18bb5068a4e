"""The formats that can be imported, each with what reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from collector.exports import calicoenterprise, detect, envelopes, fields, goldmane, hubble, netobserv, rows
from model import enums

Records = Sequence[tuple[int, Any]]
"""Flows without their envelopes, each with its line."""
Read = Callable[[Records, rows.Rows], None]


def _each(read: Callable[[fields.Object, rows.Rows], None]) -> Read:
    """What reads one flow at a time, for many; those that are wrong are said to be bad."""

    def read_all(records: Records, into: rows.Rows) -> None:
        for line, flow in records:
            try:
                read(flow, into)
            except ValueError as error:
                into.bad.append((line, str(error)))

    return read_all


FORMATS: Mapping[enums.Origin, Read] = {
    enums.Origin.GOLDMANE: _each(goldmane.read),
    enums.Origin.CALICO_ENTERPRISE: _each(calicoenterprise.read),
    enums.Origin.HUBBLE: hubble.read,
    enums.Origin.NETOBSERV: netobserv.read,
}


def unwrapped(values: Records) -> list[tuple[int, Any]]:
    """The flows in JSON values, each with the line of the value."""
    return [(line, flow) for line, value in values for flow in envelopes.unwrap(value)]


def detected(records: Records) -> enums.Origin | None:
    """Who wrote these: by the first of them that tells; None if none does."""
    return next((found for _, flow in records if (found := detect.origin(flow))), None)


def read(records: Records, into: rows.Rows) -> None:
    """Take flows of one format; what is no flow, or evidently another's, is said to be bad."""
    own: list[tuple[int, Any]] = []
    for line, flow in records:
        by = detect.origin(flow)
        if not isinstance(flow, Mapping):
            into.bad.append((line, "no JSON object"))
        elif by is not None and by is not into.origin:
            into.bad.append((line, f"a flow of {by}, not of {into.origin}"))
        else:
            own.append((line, flow))
    FORMATS[into.origin](own, into)
