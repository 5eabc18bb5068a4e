"""Files of JSON, piece by piece: one object a line, an array, or objects one behind the other; gzip too.

A piece has a bounded number of lines, and a digest of what stands in them, which is the same for the file
and for the same file compressed.
"""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import gzip
import hashlib
import json
import pathlib
import sys
import zlib
from collections.abc import Iterator
from typing import IO, Any

from model import errors

LINES = 10_000
"""How many lines, or objects of an array, make a piece."""
STDIN = pathlib.Path("-")

_LONGEST = 256 << 20
"""Bytes of one line or object that are read at most."""
_BLOCK = 1 << 16
_GZIP = b"\x1f\x8b"
_MARK = codecs.BOM_UTF8
_BETWEEN = " \t\r\n,]\ufeff"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some lines of a file.

    Attributes:
        values: What stands there, each with the number of the line where it begins, from 1.
        bad: Lines that are no JSON, and why.
        digest: Of the lines, as they are, in hexadecimal.
        consumed: Bytes of the file that have been read, as it lies on the disk.
    """

    values: list[tuple[int, Any]]
    bad: list[tuple[int, str]]
    digest: str
    consumed: int


def size(file: pathlib.Path) -> int:
    """Bytes of a file on the disk; 0 for the standard input.

    Raises:
        SetupError: If it cannot be read, or is a folder.
    """
    if file == STDIN:
        return 0
    try:
        if file.is_dir():
            raise errors.SetupError(f"{file} is a folder: name the files in it")
        return file.stat().st_size
    except OSError as error:
        raise errors.SetupError(f"{file} cannot be read: {error.strerror}") from error


def pieces(file: pathlib.Path, lines: int = LINES) -> Iterator[Piece]:
    """The pieces of a file, or of the standard input for ``-``; none for an empty one.

    Raises:
        SetupError: If it cannot be read, breaks off in the middle of its compression, or is no JSON.
    """
    size(file)
    try:
        with _opened(file) as raw:
            stream, position = _plain(raw)
            found = _lines(stream) if _is_lines(stream) else _values(stream)
            yield from _cut(found, lines, position)
    except EOFError as error:
        raise errors.SetupError(f"{file} breaks off: its compression has no end") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise errors.SetupError(f"{file} cannot be decompressed: {error}") from error
    except OSError as error:
        raise errors.SetupError(f"{file} cannot be read: {error.strerror or error}") from error
    except _TooLongError as error:
        raise errors.SetupError(f"{file}, line {error}: no JSON of {_LONGEST >> 20} MB is read") from error


class _TooLongError(Exception):
    """A line or an object has no end that we would wait for; the text is its line."""


_Found = Iterator[tuple[int, Any, str, bytes]]
"""Line, value, what is wrong instead, and the text itself."""


class _Stream:
    """Bytes that can be looked at before they are read."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._ahead = b""

    def peek(self, count: int) -> bytes:
        """The next bytes, which stay where they are; fewer at the end."""
        while len(self._ahead) < count and (more := self._raw.read(_BLOCK)):
            self._ahead += more
        return self._ahead[:count]

    def read(self) -> bytes:
        """Some bytes; none at the end."""
        ahead, self._ahead = self._ahead, b""
        return ahead or self._raw.read(_BLOCK)

    def tell(self) -> int:
        """Where the file itself is; 0 where it has no places."""
        with contextlib.suppress(OSError):
            return self._raw.tell()
        return 0


@contextlib.contextmanager
def _opened(file: pathlib.Path) -> Iterator[IO[bytes]]:
    if file == STDIN:
        yield sys.stdin.buffer
        return
    with file.open("rb") as opened:
        yield opened


def _plain(raw: IO[bytes]) -> tuple[_Stream, _Stream]:
    """What to read, decompressed where it has to be, and what knows how far the file itself was read."""
    below = _Stream(raw)
    if below.peek(2) != _GZIP:
        return below, below
    joined: Any = _Joined(below)  # which has all that is asked of it
    plain: Any = gzip.GzipFile(fileobj=joined)
    return _Stream(plain), below


class _Joined:
    """A stream as the gzip module wants it."""

    def __init__(self, below: _Stream) -> None:
        self._below, self._rest = below, b""

    def read(self, count: int = -1) -> bytes:
        """As many bytes as are wanted; fewer at the end."""
        while (count < 0 or len(self._rest) < count) and (more := self._below.read()):
            self._rest += more
        end = len(self._rest) if count < 0 else count
        found, self._rest = self._rest[:end], self._rest[end:]
        return found


def _is_lines(stream: _Stream) -> bool:
    """Whether each line is an object by itself, rather than one array, or objects over many lines."""
    beginning = stream.peek(_BLOCK).removeprefix(_MARK).lstrip()
    line = beginning.partition(b"\n")[0].strip()
    if beginning.startswith(b"["):
        return False
    return not (line.startswith(b"{") and line[-1:] in b"{[,")


def _lines(stream: _Stream) -> _Found:
    number = 0
    for line in _split(stream):
        number += 1
        text = line.strip().removeprefix(_MARK).removeprefix(b"data:")
        if not text or text.startswith(b"event:"):  # between the events of an HTTP stream
            continue
        try:
            yield number, json.loads(text), "", text
        except ValueError as error:
            yield number, None, _why(error), text
        except RecursionError:
            yield number, None, "no JSON: it is nested too deeply", text


def _why(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON: {error.msg} at character {error.colno}"
    return "no JSON: it is not UTF-8"


def _split(stream: _Stream) -> Iterator[bytes]:
    rest: list[bytes] = []
    number, length = 1, 0
    while block := stream.read():
        first, *more = block.split(b"\n")
        rest.append(first)
        length += len(first)
        if length > _LONGEST:
            raise _TooLongError(number)
        if more:
            yield b"".join(rest)
            yield from more[:-1]
            number += len(more)
            rest, length = [more[-1]], len(more[-1])
    if last := b"".join(rest):
        yield last


def _values(stream: _Stream) -> _Found:
    """Objects one behind the other, or the elements of one array."""
    decoder, text = json.JSONDecoder(), ""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    at, line, wanted, begun = 0, 1, _BLOCK, False
    while True:
        skipped = _skip(text, at, "[" if not begun else "")
        line += text.count("\n", at, skipped)
        at, begun = skipped, begun or skipped < len(text)
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            more = _more(stream, wanted) if isinstance(error, ValueError) else b""
            if not more:
                if text[at:]:
                    yield line, None, "no JSON from here on, or it breaks off", text[at:].encode()
                return
            text, at, wanted = text[at:] + decode(more), 0, min(2 * max(wanted, len(text)), _LONGEST)
            if len(text) > _LONGEST:
                raise _TooLongError(line) from error
            continue
        yield line, value, "", text[at:end].encode()
        line += text.count("\n", at, end)
        at, wanted = end, _BLOCK


def _skip(text: str, at: int, also: str) -> int:
    while at < len(text) and (text[at] in _BETWEEN or text[at] in also):
        at += 1
    return at


def _more(stream: _Stream, wanted: int) -> bytes:
    found: list[bytes] = []
    while wanted > 0 and (block := stream.read()):
        found.append(block)
        wanted -= len(block)
    return b"".join(found)


def _cut(found: _Found, lines: int, position: _Stream) -> Iterator[Piece]:
    values: list[tuple[int, Any]] = []
    bad: list[tuple[int, str]] = []
    digest = hashlib.sha256()
    for line, value, wrong, text in found:
        digest.update(text + b"\n")
        if wrong:
            bad.append((line, wrong))
        else:
            values.append((line, value))
        if len(values) + len(bad) == lines:
            yield Piece(values=values, bad=bad, digest=digest.hexdigest(), consumed=position.tell())
            values, bad, digest = [], [], hashlib.sha256()
    if values or bad:
        yield Piece(values=values, bad=bad, digest=digest.hexdigest(), consumed=position.tell())
