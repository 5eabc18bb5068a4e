"""The probe's table in the kernel: made, read and removed through the one socket that owns it."""

from __future__ import annotations

import errno
import os
import pathlib
import struct

from collector.netlink import sockets
from collector.probe import decode, expressions, ruleset
from model import errors

_FLAGS, _OWNER = 2, 7  # NFTA_TABLE_FLAGS, NFTA_TABLE_OWNER
_AT_ONCE = 200
"""Keys looked up in one go: each answer may take 4 KiB of the receive buffer."""
_RECEIVE_BUFFER = 4 << 20


class Table:
    """The table of one network namespace.

    It bears the owner flag: nobody else can change it, and the kernel removes it when our socket is closed,
    however this process ends. So it never stays behind, and while it is there its owner lives.

    Raises:
        SetupError: If somebody else's probe is there, a right is missing, or the kernel cannot do it.
    """

    def __init__(self, namespace: pathlib.Path | None, plan: ruleset.Plan) -> None:
        self._socket = sockets.within(
            namespace, lambda: sockets.open_netfilter(receive_buffer=_RECEIVE_BUFFER)
        )
        self._open = True
        try:
            self._install(plan)
        except BaseException:
            self._socket.close()
            raise

    def _install(self, plan: ruleset.Plan) -> None:
        messages = ruleset.render(plan, replacing=self._is_left_over())
        numbered = [
            message[:8] + struct.pack("=I", number) + message[12:]  # nlmsghdr.nlmsg_seq
            for number, (_, message) in enumerate(messages, 1)
        ]
        self._socket.send(ruleset.batch(numbered))
        for _ in messages:  # each is acknowledged; where one is refused, it is the only one that matters
            number, code = self._acknowledgement()
            if code:
                raise errors.SetupError(_refused(messages[number - 1][0] if number else "everything", code))

    def _is_left_over(self) -> bool:
        """Whether a table of our name is there that has no owner.

        Raises:
            SetupError: If it has one, or if we may not ask.
        """
        try:
            answer = sockets.answer(self._socket, ruleset.request(ruleset.GET_TABLE, 0))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise errors.SetupError(_unable(error.errno or 0)) from error
        values = decode.attribute_values(answer)
        if int.from_bytes(values.get(_FLAGS, b""), "big") & ruleset.OWNER:
            owner = int.from_bytes(values.get(_OWNER, b""), "big")
            raise errors.SetupError(
                f"another collector looks for drops in this network namespace (netlink port {owner}): "
                "stop it, or leave the drop probe out here"
            )
        return True

    def _acknowledgement(self) -> tuple[int, int]:
        """The number of a message, and the kernel's errno for it."""
        reply = self._socket.recv(1 << 16)
        number = sockets.HEADER.unpack_from(reply)[3]
        return number, -struct.unpack_from("=i", reply, sockets.HEADER.size)[0]

    def elements(self, name: str, key_length: int) -> tuple[decode.Elements, int]:
        """All elements of a set, and how many could not be read.

        While elements come and go the kernel may skip some, or give one twice.

        Raises:
            OSError: The kernel's error.
        """
        request = ruleset.request(
            ruleset.GET_ELEMENTS,
            sockets.NLM_F_DUMP,
            expressions.text(2, name),  # NFTA_SET_ELEM_LIST_SET
        )
        return decode.elements(self._dump(request), key_length)

    def look_up(self, name: str, keys: decode.Bytes) -> decode.Elements:
        """Those of the given keys that are in a set: exact, whatever else comes and goes.

        Raises:
            OSError: The kernel's error.
        """
        length = keys.shape[1]
        question = _question(name, bytes(length))[:-length]
        parts = [decode.elements(bytearray(), length)[0]]
        for first in range(0, len(keys), _AT_ONCE):
            some = keys[first : first + _AT_ONCE]
            self._socket.send(b"".join(question + key.tobytes() for key in some))
            found = bytearray()
            for _ in some:
                found += self._answer()
            parts.append(decode.elements(found, length)[0])
        return decode.join(parts)

    def _answer(self) -> bytes:
        """The answer to one question of ``look_up``, empty where there is no such element."""
        reply = self._socket.recv(1 << 16)
        if sockets.HEADER.unpack_from(reply)[1] != sockets.NLMSG_ERROR:
            return reply
        code = -struct.unpack_from("=i", reply, sockets.HEADER.size)[0]
        if code != errno.ENOENT:
            raise OSError(code, os.strerror(code))
        return b""

    def missed(self) -> dict[ruleset.Stage, int]:
        """Packets that each stage could not count since the start, because a set was full.

        Raises:
            OSError: The kernel's error.
        """
        request = ruleset.request(
            ruleset.GET_OBJECT,
            sockets.NLM_F_DUMP,
            expressions.be32(3, ruleset.COUNTER),  # NFTA_OBJ_TYPE
        )
        counted = decode.counters(self._dump(request))
        return {stage: counted[ruleset.missed(stage)] for stage in ruleset.STAGES}

    def _dump(self, request: bytes) -> bytearray:
        self._socket.send(request)
        answer = bytearray()
        while True:
            piece = self._socket.recv(1 << 16)
            last = _closing(piece)
            answer += piece[:last]
            if last is not None:
                return answer

    def close(self) -> None:
        """Remove the table and close the socket; once more does nothing."""
        if self._open:
            self._open = False
            # Closing alone would do, unless a child process that was forked from us holds the socket too.
            self._socket.send(ruleset.batch([ruleset.request(ruleset.DELETE_TABLE, 0)]))
            self._socket.close()


def _question(name: str, key: bytes) -> bytes:
    """Asks for one element; the key, whose length is a multiple of four, is the last of it."""
    value = expressions.nested(1, sockets.attribute(1, key))  # NFTA_SET_ELEM_KEY, NFTA_DATA_VALUE
    element = expressions.nested(3, expressions.nested(1, value))
    return ruleset.request(ruleset.GET_ELEMENTS, 0, expressions.text(2, name), element)


def _closing(piece: bytes) -> int | None:
    """Where the closing message begins in a datagram of a dump; None if it is not there.

    Raises:
        OSError: The kernel's error.
    """
    position = 0
    while position + sockets.HEADER.size <= len(piece):
        length, kind, *_ = sockets.HEADER.unpack_from(piece, position)
        if kind in (sockets.NLMSG_ERROR, sockets.NLMSG_DONE):
            code = -struct.unpack_from("=i", piece, position + sockets.HEADER.size)[0]
            if code:
                raise OSError(code, os.strerror(code))
            return position
        position += max((length + 3) & ~3, sockets.HEADER.size)
    return None


def _unable(code: int) -> str:
    if code == errno.EPERM:
        return "the drop probe needs CAP_NET_ADMIN: run as root, or grant it with setcap"
    return (
        f"the drop probe needs nf_tables in the kernel ({errno.errorcode.get(code, code)}): "
        "modprobe nf_tables, or leave the probe out"
    )


def _refused(what: str, code: int) -> str:
    name = errno.errorcode.get(code, str(code))
    if code == errno.EPERM:
        return _unable(code)
    if code == errno.EEXIST:
        return "another collector has just begun to look for drops in this network namespace"
    return (
        f"the kernel refuses a part of the drop probe, {what} ({name}): it needs Linux 5.12 with nf_tables, "
        "nft_ct and nf_conntrack, or leave the probe out"
    )
