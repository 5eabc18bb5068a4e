"""Where policy hits come from: the NFLOG groups that the ruleset logs to."""

from __future__ import annotations

import errno
import pathlib
import socket
import struct
import threading
from collections.abc import Callable

import numpy as np

from collector.netlink import layouts, receiver, slots, sockets
from collector.nflog import decode
from model import errors

_CONFIG = 0x401  # NFNL_SUBSYS_ULOG, NFULNL_MSG_CONFIG
_CMD, _MODE, _NLBUFSIZ, _TIMEOUT, _QTHRESH, _FLAGS = 1, 2, 3, 4, 5, 6
_BIND = 1
_COPY_PACKET = 2
_WITH_SEQUENCE = 1  # NFULNL_CFG_F_SEQ: each message is numbered, so that a gap shows
_CAPTURE = 80
"""Bytes of each packet: IPv6 header and the ports behind it, with room for options."""
_QUEUE = 100
"""Packets in one datagram: one by one, the same packets cost four times as much."""
_BUFFER = 1 << 16
"""Bytes of a datagram at the most; ``_QUEUE`` packets need a third of it."""
_SLOTS = 64
_NUMBERS = 1 << 32

FLUSH_SECONDS = 0.1
"""How long the kernel holds a batch that is not full."""

LATE_SECONDS = 0.2
"""How much longer it may be where all processors are busy."""

_OLDEST = round((FLUSH_SECONDS + LATE_SECONDS) * 1e9)


class Source:
    """Logged packets of some NFLOG groups in one network namespace.

    Args:
        namespace: Path of the network namespace; None for our own.
        groups: The groups to read.
        receive_buffer: Bytes of messages that the kernel may queue for us.
        capacity: How many packets we hold until they are read; more are discarded and counted.
        hurry: Is called, by another thread, when it is time to read.

    Raises:
        SetupError: If somebody else holds a group, or the right is missing.
    """

    def __init__(
        self,
        namespace: pathlib.Path | None,
        groups: tuple[int, ...],
        *,
        receive_buffer: int,
        capacity: int,
        hurry: Callable[[], None] = lambda: None,
    ) -> None:
        opened = sockets.within(namespace, lambda: sockets.open_netfilter(receive_buffer=receive_buffer))
        try:
            for group in groups:
                _bind(opened, group)
        except BaseException:
            opened.close()
            raise
        self._receiver = receiver.Receiver(
            opened, slots.Slots(_SLOTS, _BUFFER), self._hold, name="nflog", overrun=hurry
        )
        self.groups, self._capacity, self._hurry = groups, capacity, hurry
        self._lock = threading.Lock()
        self._packets: list[decode.Packets] = []
        self._prefixes: dict[str, int] = {}
        self._held = 0
        self._expected = dict.fromkeys(groups, 0)  # the kernel numbers messages from the moment of binding
        self._gaps = 0
        self.lost = 0
        self.discarded = 0
        self.malformed = 0
        self.error = ""

    def start(self) -> None:
        """Begin to receive."""
        self._receiver.start()

    def stop(self) -> None:
        """Close the socket, which gives the groups back."""
        self._receiver.stop()

    def close(self) -> None:
        """Close the socket of a source that was never started, or once more."""
        self._receiver.close()

    def read(self) -> tuple[decode.Packets, list[str]]:
        """The packets logged since the last call, and the prefixes that they refer to."""
        self._receiver.flush()
        with self._lock:
            packets = np.concatenate([np.zeros(0, decode.PACKET), *self._packets])
            prefixes = list(self._prefixes)
            self._packets, self._prefixes, self._held = [], {}, 0
        return packets, prefixes

    def _hold(self, messages: layouts.Datagrams) -> None:
        decoded = decode.decode(messages)
        packets = decoded.packets
        # The kernel stamps no packet that begins on this node: it is dated as early as it can be, so that its
        # connection is not older than it.
        packets["time"][packets["time"] == 0] = self._receiver.not_before - _OLDEST
        with self._lock:
            self.malformed += decoded.malformed
            self.error = decoded.error or self.error
            self._gaps += self._missing(packets)
            self.lost = max(self.lost, self._gaps - self.malformed)  # what cannot be read leaves a gap too
            known = self._prefixes
            codes = [known.setdefault(prefix, len(known)) for prefix in decoded.prefixes]
            packets["prefix"] = np.array([*codes, 0], np.int32)[packets["prefix"]]
            room = self._capacity - self._held
            self.discarded += max(len(packets) - room, 0)
            self._packets.append(packets[:room])
            self._held += min(len(packets), room)
        if self._held > self._capacity // 2:
            self._hurry()

    def _missing(self, packets: decode.Packets) -> int:
        """How many messages are missing, by the numbers that the kernel gives them in each group."""
        missing = 0
        for group in np.unique(packets["group"]).tolist():
            numbers = packets["sequence"][packets["group"] == group]
            following = (int(numbers[-1]) + 1) % _NUMBERS
            missing += (following - self._expected.get(group, int(numbers[0]))) % _NUMBERS - len(numbers)
            self._expected[group] = following
        return missing


def _bind(opened: socket.socket, group: int) -> None:
    code = sockets.ask(opened, _configuration(group, sockets.attribute(_CMD, bytes([_BIND]))))
    if code in (errno.EBUSY, errno.EPERM):
        raise errors.SetupError(_refused(group, code))
    if code == 0:
        code = sockets.ask(opened, _configuration(group, b"".join([
            sockets.attribute(_MODE, struct.pack(">IBx", _CAPTURE, _COPY_PACKET)),
            sockets.attribute(_NLBUFSIZ, struct.pack(">I", _BUFFER)),
            sockets.attribute(_TIMEOUT, struct.pack(">I", round(FLUSH_SECONDS * 100))),
            sockets.attribute(_QTHRESH, struct.pack(">I", _QUEUE)),
            sockets.attribute(_FLAGS, struct.pack(">H", _WITH_SEQUENCE)),
        ])))  # fmt: skip
    if code:
        raise errors.SetupError(f"NFLOG group {group} cannot be set up: {errno.errorcode.get(code, code)}")


def _refused(group: int, code: int) -> str:
    """Both a missing right and a group that is taken can come back as EPERM."""
    if code == errno.EBUSY or sockets.is_capable():
        return (
            f"NFLOG group {group} is held by another process (Calico's Felix with flow logs on, or ulogd): "
            "choose others with --nflog-groups, or stop that process"
        )
    return "reading NFLOG needs CAP_NET_ADMIN: run as root, or grant it with setcap"


def _configuration(group: int, attributes: bytes) -> bytes:
    # nfgenmsg: family, version, and the group as resource number in network order
    return sockets.message(
        _CONFIG, sockets.NLM_F_ACK, struct.pack("=BB", 0, 0) + struct.pack(">H", group) + attributes
    )
