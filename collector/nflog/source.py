"""Where policy hits come from: the NFLOG groups that the ruleset logs to."""

from __future__ import annotations

import errno
import pathlib
import socket
import struct
import time

import numpy as np

from collector.netlink import sockets
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
"""Packets in one message batch: unbatched, the same packets cost four times as much."""

FLUSH_SECONDS = 0.1
"""How long the kernel holds a batch that is not full."""


class Source:
    """Logged packets of some NFLOG groups in one network namespace.

    Raises:
        SetupError: If somebody else holds a group, or the right is missing.
    """

    def __init__(
        self, namespace: pathlib.Path | None, groups: tuple[int, ...], *, receive_buffer: int, capacity: int
    ) -> None:
        opened = sockets.within(namespace, lambda: sockets.open_netfilter(receive_buffer=receive_buffer))
        try:
            for group in groups:
                _bind(opened, group)
        except BaseException:
            opened.close()
            raise
        self._receiver = sockets.Receiver(opened, name="nflog", capacity=capacity)
        self._expected: dict[int, int] = {}
        self.lost = 0
        self.unreadable = 0

    def start(self) -> None:
        """Begin to receive."""
        self._receiver.start()

    def stop(self) -> None:
        """Close the socket, which gives the groups back."""
        self._receiver.stop()

    def close(self) -> None:
        """Close the socket of a source that was never started, or once more."""
        self._receiver.close()

    @property
    def discarded(self) -> int:
        """Batches that we threw away since the start, because they came faster than they were read."""
        return self._receiver.discarded

    def read(self) -> tuple[decode.Packets, list[str]]:
        """The packets logged since the last call, and the prefixes that they refer to."""
        packets, prefixes, unreadable = decode.decode(self._receiver.take())
        self.unreadable += unreadable
        self.lost += self._gaps(packets)
        unstamped = packets["time"] == 0
        packets["time"][unstamped] = time.time_ns()
        return packets, prefixes

    def _gaps(self, packets: decode.Packets) -> int:
        """How many messages are missing, by the numbers that the kernel gives them in each group."""
        missing = 0
        for group in np.unique(packets["group"]):
            numbers = packets["sequence"][packets["group"] == group].astype(np.int64)
            expected = self._expected.get(int(group), int(numbers[0]))
            missing += int(numbers[-1]) + 1 - expected - len(numbers)
            self._expected[int(group)] = int(numbers[-1]) + 1
        return max(missing, 0)


def _bind(opened: socket.socket, group: int) -> None:
    code = sockets.ask(opened, _configuration(group, sockets.attribute(_CMD, bytes([_BIND]))))
    if code in (errno.EBUSY, errno.EPERM):
        raise errors.SetupError(_refused(group, code))
    if code == 0:
        code = sockets.ask(opened, _configuration(group, b"".join([
            sockets.attribute(_MODE, struct.pack(">IBx", _CAPTURE, _COPY_PACKET)),
            sockets.attribute(_NLBUFSIZ, struct.pack(">I", 65536)),
            sockets.attribute(_TIMEOUT, struct.pack(">I", round(FLUSH_SECONDS * 100))),
            sockets.attribute(_QTHRESH, struct.pack(">I", _QUEUE)),
            sockets.attribute(_FLAGS, struct.pack(">H", _WITH_SEQUENCE)),
        ])))  # fmt: skip
    if code:
        raise errors.SetupError(f"NFLOG group {group} cannot be set up: {errno.errorcode.get(code, code)}")


def _refused(group: int, code: int) -> str:
    """Both a missing right and a group that is taken can come back as EPERM."""
    if code == errno.EBUSY or _capable():
        return (
            f"NFLOG group {group} is held by another process (Calico's Felix with flow logs on, or ulogd): "
            "choose others with --nflog-groups, or stop that process"
        )
    return "reading NFLOG needs CAP_NET_ADMIN: run as root, or grant it with setcap"


def _capable() -> bool:
    """Whether this process has CAP_NET_ADMIN, by its own status."""
    cap_net_admin = 12
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> cap_net_admin & 1)
    return False


def _configuration(group: int, attributes: bytes) -> bytes:
    # nfgenmsg: family, version, and the group as resource number in network order
    return sockets.message(
        _CONFIG, sockets.NLM_F_ACK, struct.pack("=BB", 0, 0) + struct.pack(">H", group) + attributes
    )
