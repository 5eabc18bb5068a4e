"""The answer to a dump request, piece by piece: the next piece is received while the last one is read."""

from __future__ import annotations

import concurrent.futures
import os
import socket
import struct
from collections.abc import Iterator

import numpy as np

from collector.netlink import layouts, slots, sockets

_PIECE = 1 << 15
"""The kernel fills datagrams of a dump up to 32 KiB, whatever room it is offered (af_netlink.c)."""
_PIECES = 64
"""Datagrams of one piece: few calls for its 2 MiB, which are decoded while the processor's cache has them."""
_DONE = struct.Struct("=IHHIIi")
_Coming = concurrent.futures.Future[tuple[layouts.Datagrams, bool]]


def dump(opened: socket.socket, request: bytes) -> Iterator[layouts.Datagrams]:
    """The messages of the answer, without the closing one; a piece is good until the next is asked for.

    Args:
        opened: A netfilter socket in blocking mode, on which no other answer is awaited.
        request: The request, with ``NLM_F_DUMP``.

    Raises:
        OSError: The kernel's error.
    """
    room, spare = slots.Slots(_PIECES, _PIECE), slots.Slots(_PIECES, _PIECE)
    opened.send(request)
    with concurrent.futures.ThreadPoolExecutor(1, "dump") as ahead:
        coming: _Coming | None = ahead.submit(_receive, opened, room)
        try:
            while coming:
                piece, last = coming.result()
                room, spare = spare, room
                coming = None if last else ahead.submit(_receive, opened, room)
                if len(piece.starts):
                    yield piece
        finally:  # whoever does not want the rest leaves none of it for the next answer
            while coming and not coming.exception() and not coming.result()[1]:
                coming = ahead.submit(_receive, opened, room)


def _receive(opened: socket.socket, room: slots.Slots) -> tuple[layouts.Datagrams, bool]:
    """One piece, and whether it is the last one."""
    room.empty()
    whole = False
    while not whole and not room.full:
        room.receive(opened, wait=True)
        whole = _is_closing(room.datagrams())
    piece = room.datagrams()
    return (_without_closing(piece), True) if whole else (piece, False)


def _is_closing(piece: layouts.Datagrams) -> bool:
    """Whether the last datagram ends with the closing message, or with an error in place of an answer."""
    if not len(piece.starts):
        return False
    start, length = int(piece.starts[-1]), int(piece.lengths[-1])
    datagram = piece.buffer[start : start + length].tobytes()
    if sockets.HEADER.unpack_from(datagram)[1] == sockets.NLMSG_ERROR:
        code = struct.unpack_from("=i", datagram, sockets.HEADER.size)[0]
        raise OSError(-code, f"the kernel refuses the dump: {os.strerror(-code)}")
    if length < _DONE.size:
        return False
    size, kind, *_, code = _DONE.unpack_from(datagram, length - _DONE.size)
    if kind != sockets.NLMSG_DONE or size != _DONE.size:
        return False
    if code < 0:
        raise OSError(-code, f"the kernel gives the dump up: {os.strerror(-code)}")
    return True


def _without_closing(piece: layouts.Datagrams) -> layouts.Datagrams:
    """In datagrams that are not full the kernel puts the closing message behind others."""
    lengths = piece.lengths.copy()
    lengths[-1] -= _DONE.size
    keep = lengths > 0
    return layouts.Datagrams(piece.buffer, piece.starts[keep], lengths[keep])


def whole(opened: socket.socket, request: bytes) -> bytes:
    """All messages of the answer in one piece, for answers that are short.

    Raises:
        OSError: The kernel's error.
    """
    return b"".join(
        piece.buffer[start : start + length].tobytes()
        for piece in dump(opened, request)
        for start, length in zip(piece.starts.tolist(), np.asarray(piece.lengths).tolist(), strict=True)
    )
