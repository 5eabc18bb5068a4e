"""Lets a fuzzer that sees which lines run look for messages that our decoders get wrong.

It needs atheris, which nothing else here does, so it is installed beside the project:

    .venv/bin/python -m pip install --target /tmp/atheris atheris
    PYTHONPATH=/tmp/atheris .venv/bin/python tests/fuzz/coverage_guided.py --seconds 3600

It ends with a non-zero code and a file ``crash-…`` in the corpus's folder if something was raised, or read
otherwise than ``reference.py`` reads it, or took longer than a minute; ``--again FILE`` runs it once more.
"""

from __future__ import annotations

import argparse
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence

import atheris

with atheris.instrument_imports(include=["collector"]):
    import collector.conntrack.decode
    import collector.nflog.decode  # noqa: F401

import mutate
import reference

_NAMES = sorted(mutate.DECODERS)
_SLOT_SIZES = (0, 1 << 9, 1 << 12, 1 << 16)
_LENGTH = struct.Struct(">H")
_SEGMENT_SECONDS = 150
"""atheris keeps some memory of each input; a process of its own for so long stays below its own limit."""


def main() -> None:
    """Run for as long as was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=pathlib.Path, help="a folder that is kept; else a new one")
    parser.add_argument("--again", type=pathlib.Path, help="an input to run once")
    asked = parser.parse_args()
    warnings.simplefilter("error")
    if asked.again:
        run(asked.again.read_bytes())
        return
    corpus = asked.corpus or pathlib.Path(tempfile.mkdtemp(prefix="corpus-"))
    corpus.mkdir(parents=True, exist_ok=True)
    if asked.seconds > _SEGMENT_SECONDS:
        sys.exit(_segments(asked.seconds, asked.seed, corpus))
    for number, seed in enumerate(_seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup(
        [sys.argv[0], str(corpus), f"-max_total_time={asked.seconds}", f"-seed={asked.seed}",
         "-max_len=16384", "-timeout=60", f"-artifact_prefix={corpus}/", "-print_final_stats=1"],
        run,
        custom_mutator=_mutated,
    )  # fmt: skip
    atheris.Fuzz()


def _segments(seconds: int, seed: int, corpus: pathlib.Path) -> int:
    """Run in processes one after the other, which share a corpus; the first code that is not zero."""
    for number, begun in enumerate(range(0, seconds, _SEGMENT_SECONDS)):
        left = min(_SEGMENT_SECONDS, seconds - begun)
        command = [sys.executable, __file__, "--seconds", str(left), "--seed", str(seed + number),
                   "--corpus", str(corpus)]  # fmt: skip
        if code := subprocess.run(command, check=False).returncode:
            return code
    return 0


def run(packed: bytes) -> None:
    """Read one input with one decoder, and plainly.

    Args:
        packed: A byte that says which decoder and how the datagrams lie, and the datagrams, each behind its
            length.
    """
    if not packed:
        return
    decoder, size = _chosen(packed[0])
    datagrams = _unpacked(packed[1:])
    if size and max(map(len, datagrams), default=0) > size:
        size = 0
    stale = b"".join(datagrams[:4])
    mutate.check(decoder, mutate.laid_out(datagrams, size, stale), datagrams)


def _chosen(byte: int) -> tuple[mutate.Decoder, int]:
    return mutate.DECODERS[_NAMES[byte & 1]], _SLOT_SIZES[byte >> 1 & 3]


def _unpacked(rest: bytes) -> list[bytes]:
    datagrams = []
    while len(rest) >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(rest)
        datagrams.append(rest[_LENGTH.size : _LENGTH.size + length])
        rest = rest[_LENGTH.size + length :]
    return datagrams


def _packed(byte: int, datagrams: Sequence[bytes]) -> bytes:
    return bytes([byte]) + b"".join(_LENGTH.pack(len(datagram)) + datagram for datagram in datagrams)


def _seeds() -> list[bytes]:
    """Each captured message alone, and some together, one in each datagram and all in one."""
    found = []
    for byte, name in enumerate(_NAMES):
        messages = mutate.DECODERS[name].seeds()
        found += [_packed(byte, [message]) for message in messages]
        for first in range(0, len(messages), 8):
            some = messages[first : first + 8]
            found += [_packed(byte | 4, some), _packed(byte, [b"".join(some)])]
    return found


_SEEDS = {name: decoder.seeds() for name, decoder in mutate.DECODERS.items()}


def _mutated(packed: bytes, longest: int, seed: int) -> bytes:
    """Half of the time as libFuzzer would; else one message, with an eye for where lengths stand."""
    chance = random.Random(seed)
    datagrams = _unpacked(packed[1:])
    if chance.randrange(2) or not datagrams:
        return bytes(atheris.Mutate(packed, longest))
    which = chance.randrange(len(datagrams))
    messages, _ = reference.split([datagrams[which]])
    seeds = _SEEDS[_NAMES[packed[0] & 1]]
    number = chance.randrange(max(len(messages), 1))
    messages[number : number + 1] = [
        mutate.mutated(message, seeds, chance, torn=0.1)
        for message in messages[number : number + 1] or [chance.choice(seeds)]
    ]
    datagrams[which] = b"".join(message + bytes(-len(message) % 4) for message in messages)
    return _packed(packed[0], datagrams)[:longest]


if __name__ == "__main__":
    main()
