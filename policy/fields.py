"""Fields that several kinds of policy share: networks, ports, protocols, selectors."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterable

from model import enums, manifest
from policy import objects, selector

_PROTOCOLS = {protocol.name.lower(): int(protocol) for protocol in enums.Protocol}
_CALICO_PORT_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")  # libcalico-go/lib/validator/v3


def items(field: manifest.Field | None) -> list[manifest.Field]:
    """The items of a list; none where it is absent."""
    return field.items() if field else []


def metadata(document: manifest.Document, default_namespace: str) -> tuple[str, str]:
    """Namespace and name of an object; ``default_namespace`` where none is written."""
    found = document.field().only("apiVersion", "kind", "metadata", "spec", "status").require("metadata")
    namespace = found.get("namespace")
    return (namespace.text() if namespace else default_namespace, found.require("name").text())


def is_set(spec: manifest.Field) -> bool:
    """Whether a staged policy would be there once enforced; with ``Delete`` its namesake would go.

    Raises:
        ManifestError: If its action is none that Calico knows.
    """
    action = spec.get("stagedAction")
    return action is None or action.one_of("Set", "Delete", "Learn", "Ignore") != "Delete"


def number(field: manifest.Field | None) -> float:
    """An order; infinite where it is absent."""
    if field is None:
        return math.inf
    if isinstance(field.value, bool) or not isinstance(field.value, int | float) or math.isnan(field.value):
        raise field.error("must be a number")
    return float(field.value)


def network(field: manifest.Field) -> objects.Network:
    """A CIDR, or one address; bits beyond the prefix are ignored."""
    text = field.text()
    try:
        if not re.fullmatch(r"[0-9A-Fa-f.:]+(/\d+)?", text):  # the library also takes netmasks and scopes
            raise ValueError(text)
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise field.error(f"must be a CIDR such as 10.0.0.0/8, is {text!r}") from None


def protocol(field: manifest.Field | None) -> int | None:
    """An IP protocol by name, in any case, or by number; None where it is absent."""
    if field is None:
        return None
    if not isinstance(field.value, str):
        return field.integer(1, 255)
    known = _PROTOCOLS.get(field.value.lower())
    if known is None:
        raise field.error(f"must be one of {', '.join(_PROTOCOLS)} or 1 to 255, is {field.value!r}")
    return known


def selector_text(field: manifest.Field | None) -> selector.Selector | None:
    """A selector in Calico's language; None where it is absent or empty."""
    if field is None or not field.text():
        return None
    try:
        return selector.parse(field.text())
    except ValueError as error:
        raise field.error(str(error)) from error


def ports(fields: Iterable[manifest.Field]) -> tuple[tuple[objects.PortRange, ...], tuple[str, ...]]:
    """Calico's list of ports: ranges and numbers on one side, names on the other, as they were given."""
    ranges: list[objects.PortRange] = []
    names: list[str] = []
    for field in fields:
        port = _port(field)
        if isinstance(port, str):
            names.append(port)
        else:
            ranges.append(port)
    return tuple(ranges), tuple(dict.fromkeys(names))


def _port(field: manifest.Field) -> objects.PortRange | str:
    if not isinstance(field.value, str):
        whole = field.integer(1, 65535)
        return objects.PortRange(whole, whole)
    span = re.fullmatch(r"(\d{1,5})(?::(\d{1,5}))?", field.value)
    if span is None:
        if not _CALICO_PORT_NAME.fullmatch(field.value):
            raise field.error(f"must be a port, a range such as 80:90, or a port name, is {field.value!r}")
        return field.value
    first = int(span[1])
    return port_range(field, first, int(span[2]) if span[2] else first)


def port_range(field: manifest.Field, first: int, last: int) -> objects.PortRange:
    """A range of ports, if it is one.

    Raises:
        ManifestError: If it is empty or not within 1 to 65535.
    """
    if not 1 <= first <= last <= 65535:
        raise field.error(f"must be a range within 1 to 65535, is {first} to {last}")
    return objects.PortRange(first, last)


def merge(ranges: Iterable[objects.PortRange]) -> tuple[objects.PortRange, ...]:
    """The fewest ranges that cover the same ports, in order."""
    merged: list[objects.PortRange] = []
    for one in sorted(ranges):
        if merged and one.first <= merged[-1].last + 1:
            merged[-1] = objects.PortRange(merged[-1].first, max(merged[-1].last, one.last))
        else:
            merged.append(one)
    return tuple(merged)
