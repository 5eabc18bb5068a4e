"""Mutates real netlink messages and has our decoders read them: ``python tests/fuzz/mutate.py --millions 1``.

Whatever a message has become, nothing may be raised, what could not be read has to be counted and named, and
the rest has to be what a slow and plain reading (``reference.py``) makes of it.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import pathlib
import random
import re
import signal
import struct
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import reference

from collector.conntrack import decode as conntrack
from collector.netlink import layouts
from collector.nflog import decode as nflog

CAPTURES = pathlib.Path(__file__).parents[1] / "captures"
_SLOT = 1 << 12
_STUCK_SECONDS = 60
_LENGTHS = (64, 1 << 9, 1 << 16, 1 << 18, 1 << 32)
"""Lengths of whole messages below these may lead to another message, or past all that there can be."""
_ALONE = 256
"""Messages of a checked buffer that are also read by themselves: of many, only one error is told."""
_NAMED = re.compile(
    r"nlmsghdr at byte 0: .+"
    r"|(CTA|NFULA)_\w+(/\w+)* at byte \d+: .+"  # an attribute of ours, or a number inside or beside one
    r"|\d+ at byte \d+: .+"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Decoder:
    """One of ours, and the plain reading that it is held against.

    Attributes:
        captures: Which captures have its messages.
        ours: Reads many messages at once; rows, prefixes, malformed, error.
        plain: Reads them one by one.
    """

    captures: str
    ours: Callable[[layouts.Datagrams], tuple[np.ndarray, list[str], int, str]]
    plain: Callable[[Sequence[bytes]], reference.Said]

    def seeds(self) -> list[bytes]:
        """All messages of the captures."""
        files = sorted(CAPTURES.glob(f"{self.captures}-*.bin"))
        return [message for file in files for message in reference.split([file.read_bytes()])[0]]


def _conntrack(datagrams: layouts.Datagrams) -> tuple[np.ndarray, list[str], int, str]:
    decoded = conntrack.decode(datagrams)
    return decoded.connections, [], decoded.malformed, decoded.error


def _nflog(datagrams: layouts.Datagrams) -> tuple[np.ndarray, list[str], int, str]:
    decoded = nflog.decode(datagrams)
    return decoded.packets, decoded.prefixes, decoded.malformed, decoded.error


DECODERS = {
    "conntrack": Decoder("conntrack", _conntrack, reference.conntrack),
    "nflog": Decoder("nflog", _nflog, reference.nflog),
}


def mutated(message: bytes, seeds: Sequence[bytes], chance: random.Random, *, torn: float) -> bytes:
    """The message with something wrong in it, or not; ``torn`` is how likely its whole length is wrong."""
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 8))):
        message = chance.choice(_CHANGES)(message, seeds, chance)
    message = message.ljust(20, b"\0")
    if chance.random() >= torn:  # a wrong length of the whole takes all that follows with it
        return struct.pack("=I", len(message)) + message[4:]
    return (
        struct.pack("=I", chance.choice((len(message) + 4, *map(chance.randrange, _LENGTHS)))) + message[4:]
    )


def _flip(message: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    changed = bytearray(message)
    for _bit in range(chance.choice((1, 1, 2, 16))):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _put(message: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    """A number that is at the edge of something, where a length or type may stand."""
    at = chance.randrange(0, max(len(message) - 1, 1), 2)
    number = chance.choice((0, 1, 2, 3, 4, 5, 7, 8, 9, 20, 0x7FFF, 0x8001, 0xFFFF, chance.randrange(1 << 16)))
    return message[:at] + struct.pack("=H", number) + message[at + 2 :]


def _name(message: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    """A byte that may be a protocol, an extension header or an IP version where it lands."""
    at = chance.randrange(len(message)) if message else 0
    return message[:at] + bytes([chance.choice(_NAMES)]) + message[at + 1 :]


_NAMES = (0, 1, 6, 17, 33, 43, 44, 47, 51, 58, 60, 132, 136, 0x40, 0x45, 0x46, 0x60)


def _longer_or_shorter(message: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    at = chance.choice(_attribute_starts(message))
    return message[:at] + _moved(message[at : at + 2], chance) + message[at + 2 :]


def _moved(length: bytes, chance: random.Random) -> bytes:
    return struct.pack(
        "=H", (int.from_bytes(length, "little") + chance.choice((-8, -4, -1, 1, 4, 8))) & 0xFFFF
    )


def _attribute_starts(message: bytes) -> list[int]:
    """Where attributes begin, as far as they can be followed; nests are entered like the kernel's."""
    starts, at = [20], 20
    while at + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, at)
        starts.append(at)
        at += 4 if kind & 0x8000 else max((length + 3) & ~3, 4)
    return starts


def _truncate(message: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    return message[: chance.randrange(len(message) + 1)]


def _append(message: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    return message + chance.randbytes(chance.choice((1, 2, 3, 4, 5, 20)))


def _cut_out(message: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    first, second = sorted(chance.choices(_attribute_starts(message), k=2))
    return message[:first] + message[second:]


def _repeat(message: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    first, second = sorted(chance.choices(_attribute_starts(message), k=2))
    return message[:second] + message[first:]


def _splice(message: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    other = chance.choice(seeds)
    return (
        message[: chance.choice(_attribute_starts(message))]
        + other[chance.choice(_attribute_starts(other)) :]
    )


def _swallow(message: bytes, seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """Another message, header and all, as an attribute: what looks like the next message is none."""
    other = chance.choice(seeds)
    at, kind = chance.choice(_attribute_starts(message)), chance.choice((9, 10, 77))
    attribute = struct.pack("=HH", 4 + len(other), kind) + other + bytes(-len(other) % 4)
    return message[:at] + attribute + message[at:]


def _insert(message: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    at, size = chance.choice(_attribute_starts(message)), chance.choice((0, 1, 2, 3, 4, 8, 16, 17, 40))
    kind = chance.choice((chance.randrange(1, 22), chance.randrange(1 << 16))) | chance.choice((0, 0x8000))
    attribute = struct.pack("=HH", 4 + size, kind) + chance.randbytes(size) + bytes(-size % 4)
    return message[:at] + attribute + message[at:]


_CHANGES = (
    _flip, _put, _name, _longer_or_shorter, _truncate, _append, _cut_out, _repeat, _splice, _swallow, _insert,
)  # fmt: skip


def packed(
    messages: Sequence[bytes], chance: random.Random, *, cuts: float
) -> tuple[layouts.Datagrams, list[bytes]]:
    """Messages in datagrams, as sockets would give them, and the datagrams' own bytes.

    One message in each, or some; in slots where something else was before, or end to end; some datagrams end
    without the padding of their last message, and ``cuts`` of them too soon.
    """
    together = chance.choice((1, 1, 2, 7, 32, len(messages)))
    if chance.randrange(2):  # as within an answer: of one type, sequence and port
        messages = [message[:4] + messages[0][4:16] + message[16:] for message in messages]
    datagrams = []
    for first in range(0, len(messages), together):
        some = b"".join(
            message + bytes(-len(message) % 4) for message in messages[first : first + together - 1]
        )
        last = messages[min(first + together, len(messages)) - 1]
        datagram = some + last + bytes(-len(last) % 4 * chance.randrange(2))
        cut = chance.randrange(1, 5) if chance.random() < cuts else 0
        datagrams.append(datagram[: len(datagram) - cut])
    longest = max(map(len, datagrams), default=0)
    size = chance.choice((0, max(_SLOT, (longest + 7) & ~7)))
    return laid_out(datagrams, size, b"".join(messages[:64])), datagrams


def laid_out(datagrams: Sequence[bytes], size: int, stale: bytes) -> layouts.Datagrams:
    """Datagrams in slots of a size, or end to end if it is 0; ``stale`` stands wherever nothing else does."""
    steps = [size or (len(datagram) + 3) & ~3 for datagram in datagrams]
    starts = np.cumsum([0, *steps])[:-1].astype(np.int64)
    room = (sum(steps) + layouts.LONGEST + 7) & ~7
    stale = stale[: len(stale) & ~3] or bytes(4)
    buffer = np.resize(np.frombuffer(stale, np.uint8), room).copy()
    for start, datagram in zip(starts.tolist(), datagrams, strict=True):
        buffer[start : start + len(datagram)] = np.frombuffer(datagram, np.uint8)
    return layouts.Datagrams(buffer, starts, np.array(list(map(len, datagrams)), np.int64))


def check(decoder: Decoder, datagrams: layouts.Datagrams, plain: Sequence[bytes]) -> reference.Said:
    """Hold a decoder to the plain reading.

    Raises:
        AssertionError: If they differ.
    """
    rows, prefixes, malformed, error = decoder.ours(datagrams)
    said = decoder.plain(plain)
    assert (len(rows), malformed) == (len(said.rows), said.malformed), error
    assert len(rows) + malformed == said.messages
    assert bool(error) == bool(malformed)
    assert not error or _NAMED.fullmatch(error), error
    columns = {
        name: [bytes(address) for address in rows[name]] if rows[name].ndim == 2 else rows[name].tolist()
        for name in rows.dtype.names or ()
        if name not in ("key", "tuple")
    }
    if "prefix" in columns:
        columns["prefix"] = [prefixes[code] for code in columns["prefix"]]
    for name, found in columns.items():
        wanted = [row[name] for row in said.rows]
        assert found == wanted, (
            f"{name}: {[pair for pair in zip(found, wanted, strict=True) if len({*pair}) > 1]}"
        )
    return said


def main() -> None:
    """Run as many messages as were asked for, and say how fast that was."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--millions", type=float, default=1.0, help="messages in all")
    parser.add_argument("--seed", type=int, default=1, help="another one makes others")
    parser.add_argument("--buffer", type=int, default=2048, help="messages read at once")
    parser.add_argument("--sample", type=int, default=4, help="one buffer in so many is also read plainly")
    asked = parser.parse_args()
    warnings.simplefilter("error")
    signal.signal(signal.SIGALRM, _stuck)
    for name, decoder in DECODERS.items():
        _run(name, decoder, round(asked.millions * 500_000), asked)


def _stuck(*_: object) -> None:
    raise TimeoutError(f"a buffer took more than {_STUCK_SECONDS} s")


def _run(name: str, decoder: Decoder, count: int, asked: argparse.Namespace) -> None:
    seeds = decoder.seeds()
    made, good, malformed, seconds, errors = 0, 0, 0, 0.0, collections.Counter[str]()
    while made < count:
        number = made // asked.buffer
        chance = random.Random(f"{asked.seed}/{name}/{number}")
        torn = chance.choice((0.0, 0.0002, 0.002, 0.02))
        messages = [mutated(chance.choice(seeds), seeds, chance, torn=torn) for _ in range(asked.buffer)]
        datagrams, plain = packed(messages, chance, cuts=torn)
        signal.alarm(_STUCK_SECONDS)
        try:
            began = time.perf_counter()
            rows, _, bad, error = decoder.ours(datagrams)
            seconds += time.perf_counter() - began
            assert not error or _NAMED.fullmatch(error), error
            assert bool(error) == bool(bad)
            if number % asked.sample == 0:
                check(decoder, datagrams, plain)
                errors.update(_errors(decoder, messages[:_ALONE]))
        except BaseException:
            sys.stderr.write(f"{name}: buffer {number} of seed {asked.seed}\n")
            raise
        signal.alarm(0)
        made, good, malformed = made + asked.buffer, good + len(rows), malformed + bad
    print(  # noqa: T201
        f"{name}: {made} messages, {good} read, {malformed} malformed, {made / seconds:,.0f}/s decoded; "
        f"{len(errors)} kinds of errors, such as {', '.join(repr(text) for text, _ in errors.most_common(3))}"
    )


def _errors(decoder: Decoder, messages: Sequence[bytes]) -> Iterator[str]:
    """What is said of each message by itself, with N for numbers."""
    for message in messages:
        error = decoder.ours(layouts.datagram(message))[-1]
        assert not error or _NAMED.fullmatch(error), error
        if error:
            yield re.sub(r"\d+", "N", error)


if __name__ == "__main__":
    main()
