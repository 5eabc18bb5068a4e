"""Which connections are wanted: those of one conntrack zone, or with a mark."""

from __future__ import annotations

import dataclasses
import struct

import numpy as np

from collector.conntrack import decode
from collector.netlink import sockets
from model import errors

_GET = 0x101  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET
_MARK, _MARK_MASK, _ZONE = 8, 21, 18  # CTA_MARK, CTA_MARK_MASK, CTA_ZONE
_ALL_BITS = 0xFFFFFFFF


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What has to hold of a connection; None is anything.

    Attributes:
        zone: Its conntrack zone.
        mark: Its mark, in the bits of ``mask``.
    """

    zone: int | None = None
    mark: int | None = None
    mask: int = _ALL_BITS

    def request(self) -> bytes:
        """The dump request, for both address families; kernels that know a filter spare us the rest."""
        attributes = b""
        if self.mark is not None:
            attributes += sockets.attribute(_MARK, struct.pack(">I", self.mark & self.mask))
            attributes += sockets.attribute(_MARK_MASK, struct.pack(">I", self.mask))
        if self.zone is not None:
            attributes += sockets.attribute(_ZONE, struct.pack(">H", self.zone))
        return sockets.message(_GET, sockets.NLM_F_DUMP, struct.pack("=BBH", 0, 0, 0) + attributes)

    def select(self, connections: decode.Connections) -> decode.Connections:
        """Those that are wanted: events, and the dumps of older kernels, have others too."""
        if self.mark is not None:
            connections = connections[connections["mark"] & np.uint32(self.mask) == self.mark & self.mask]
        if self.zone is not None:
            connections = connections[connections["zone"] == self.zone]
        return connections


EVERYTHING = Scope()


def parse(zone: int, mark: str) -> Scope:
    """The scope that settings name: a zone or -1, and ``value``, ``value/mask`` or nothing.

    Raises:
        SetupError: If they name none.
    """
    value, _, mask = mark.partition("/")
    try:
        bits = [int(part, 0) for part in (value, mask) if part]
    except ValueError:
        raise errors.SetupError(
            f"conntrack mark {mark!r}: write a number, or value/mask as 0x10/0xff"
        ) from None
    if any(not 0 <= number <= _ALL_BITS for number in bits) or not -1 <= zone <= 0xFFFF:
        raise errors.SetupError(f"conntrack zone {zone} or mark {mark!r} is out of range")
    return Scope(
        zone=zone if zone >= 0 else None,
        mark=bits[0] if bits else None,
        mask=bits[1] if len(bits) > 1 else _ALL_BITS,
    )
