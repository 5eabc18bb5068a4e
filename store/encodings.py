"""How bodies are compressed: by HTTP's ``Content-Encoding``, or in frames of ClickHouse's own.

A frame: 16 bytes of CityHash128 (version 1.0.2) over all that follows; a byte that names the method; the
length of the frame without its hash, and of what was compressed, 4 bytes each, the lowest first; the data.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from clickhouse_cityhash import cityhash

from store import exceptions

_GZIP, _DEFLATE = 31, 15
"""zlib's names for them."""


def _zlib(form: int) -> Callable[[bytes], bytes]:
    return lambda content: zlib.compress(content, 3, form)


def _arrow(codec: Any) -> Callable[[bytes], bytes]:
    def compress(content: bytes) -> bytes:
        packed: bytes = pa.compress(content, codec, asbytes=True)
        return packed

    return compress


_ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": _arrow("zstd"),
    "lz4": _arrow("lz4"),
    "br": _arrow("brotli"),
    "gzip": _zlib(_GZIP),
    "deflate": _zlib(_DEFLATE),
}
_BLOCK = 1 << 20
_HASH = 16
_HEAD = struct.Struct("<BII")
_METHODS = {"LZ4": (0x82, "lz4_raw"), "ZSTD": (0x90, "zstd"), "NONE": (0x02, "")}
_CODECS: dict[int, Any] = dict(_METHODS.values())  # Arrow's stubs list the names of its codecs


def accepted(header: str) -> str:
    """The first encoding of an ``Accept-Encoding`` that we have; empty for none."""
    for part in header.lower().split(","):
        name, *options = (word.strip() for word in part.split(";"))
        if name in _ENCODERS and not any(re.fullmatch(r"q=0(\.0*)?", option) for option in options):
            return name
    return ""


def encode(content: bytes, encoding: str) -> bytes:
    """A body in one of the encodings that `accepted` names."""
    return _ENCODERS[encoding](content)


def decode(content: bytes, encoding: str, most: int) -> bytes:
    """A body without its ``Content-Encoding``.

    Args:
        content: As it came.
        encoding: Its name; empty for none.
        most: How long it may become.

    Raises:
        StoreError: If we do not have this encoding, it is not what was sent, or it becomes too long.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return content
    if name not in _ENCODERS:
        raise exceptions.told(89, "UNKNOWN_COMPRESSION_METHOD", f"there is no encoding {encoding!r} here")
    try:
        plain = _inflate(content, most) if name in ("gzip", "deflate") else _unpack(content, name, most)
    except (zlib.error, OSError, pa.ArrowException) as error:
        raise exceptions.told(271, "CANNOT_DECOMPRESS", f"the body is not {name}: {error}") from error
    if len(plain) > most:
        raise exceptions.told(229, "QUERY_IS_TOO_LARGE", f"the body is longer than {most} bytes")
    return plain


def frame(content: bytes, method: str = "LZ4") -> bytes:
    """A body in ClickHouse's own frames.

    Raises:
        StoreError: If there is no such method.
    """
    if method.upper() not in _METHODS:
        raise exceptions.told(89, "UNKNOWN_COMPRESSION_METHOD", f"there is no method {method!r} here")
    byte, codec = _METHODS[method.upper()]
    blocks = (content[at : at + _BLOCK] for at in range(0, len(content), _BLOCK))
    return b"".join(_framed(block, byte, codec) for block in blocks)


def unframe(content: bytes, most: int) -> bytes:
    """A body out of ClickHouse's own frames.

    Raises:
        StoreError: If it is not in such frames, or becomes longer than ``most``.
    """
    plain, at = b"", 0
    try:
        while at < len(content):
            hashed, start = content[at : at + _HASH], at + _HASH
            byte, length, size = _HEAD.unpack_from(content, start)
            at = start + length
            if length < _HEAD.size or at > len(content) or _hash(content[start:at]) != hashed:
                raise exceptions.told(40, "CHECKSUM_DOESNT_MATCH", "a compressed block is not what it says")
            if len(plain) + size > most:
                raise exceptions.told(229, "QUERY_IS_TOO_LARGE", f"the body is longer than {most} bytes")
            block = content[start + _HEAD.size : at]
            codec = _CODECS[byte]
            plain += pa.decompress(block, size, codec, asbytes=True) if codec else block
    except (struct.error, KeyError, OSError, pa.ArrowException) as error:
        raise exceptions.told(271, "CANNOT_DECOMPRESS", "the body is not in ClickHouse's frames") from error
    return plain


def _framed(block: bytes, byte: int, codec: Any) -> bytes:
    packed: bytes = pa.compress(block, codec, asbytes=True) if codec else block
    rest = _HEAD.pack(byte, _HEAD.size + len(packed), len(block)) + packed
    return _hash(rest) + rest


def _hash(content: bytes) -> bytes:
    high, low = divmod(cityhash.CityHash128(content), 1 << 64)
    return struct.pack("<QQ", high, low)


def _inflate(content: bytes, most: int) -> bytes:
    return zlib.decompressobj(47).decompress(content, most + 1)  # 47: gzip or zlib, as it says itself


def _unpack(content: bytes, name: str, most: int) -> bytes:
    codec: Any = "brotli" if name == "br" else name
    plain: bytes = pa.CompressedInputStream(pa.BufferReader(content), codec).read(most + 1)
    return plain
