"""Which port of which service an address and port stood for, as of a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from enrich import identity, spans
from model import address, asof, columns

EVERY_NODE = columns.NO_ADDRESS
"""Stands for the address of any node, in what is known of ports that every node has for a service."""

Ports = npt.NDArray[np.uint16]
Protocols = npt.NDArray[np.uint8]

_NAMES = {"service_namespace": "namespace", "service": "service", "service_port_name": "port_name"}


class Services:
    """Immutable.

    Args:
        ports: Any service ports; two of one address, port, protocol and time leave it without a name.
    """

    def __init__(self, ports: Sequence[identity.ServicePort]) -> None:
        packed = np.frombuffer(b"".join(one.address for one in ports), np.uint8).reshape(-1, 16)
        numbers = np.array([one.port for one in ports], np.uint16)
        protocols = np.array([one.protocol for one in ports], np.uint8)
        starts = np.array([one.valid_from for one in ports], np.int64)
        ends = np.array([one.valid_to for one in ports], np.int64)
        names: dict[tuple[str, ...], int] = {}
        owners = [
            names.setdefault(tuple(getattr(one, part) for part in _NAMES.values()), len(names))
            for one in ports
        ]
        self._names = list(names)
        self._spans = spans.Spans(spans.Claimed(
            keys=_keys(packed, numbers, protocols), owners=np.array(owners, np.int32),
            valid_from=starts, sure_from=starts, sure_to=ends, valid_to=ends,
        ))  # fmt: skip

    def find(
        self, packed: address.Packed, ports: Ports, protocols: Protocols, times: asof.Times
    ) -> spans.Codes:
        """The code of each service port, or one of `spans` that stands for none.

        Args:
            packed: Addresses, shape (n, 16).
            ports: Their ports, shape (n,), as those below.
            protocols: IP protocol numbers.
            times: Nanoseconds since 1970.
        """
        return self._spans.find(_keys(packed, ports, protocols), times)

    def find_at_nodes(self, ports: Ports, protocols: Protocols, times: asof.Times) -> spans.Codes:
        """As `find`, for ports of any node's address."""
        return self.find(np.zeros((len(ports), 16), np.uint8), ports, protocols, times)

    def named(self, codes: spans.Codes) -> dict[str, pa.Array[Any]]:
        """The three service columns of flows that dialled these."""
        places = np.maximum(codes, spans.NOBODY) + 1
        return {
            column: columns.text(["", *(name[place] for name in self._names)], places)
            for place, column in enumerate(_NAMES)
        }


def _keys(packed: address.Packed, ports: Ports, protocols: Protocols) -> asof.Keys:
    return spans.keys(*address.words(packed), ports, protocols)
