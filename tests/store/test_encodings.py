from __future__ import annotations

import contextlib
import gzip
import zlib

import clickhouse_driver.streams.compressed as driver
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import errors
from store import encodings

MOST = 1 << 16


@given(st.binary(max_size=MOST), st.sampled_from(["gzip", "deflate", "zstd", "lz4", "br"]))
def test_decode_undoes_encode(content: bytes, encoding: str) -> None:
    assert encodings.decode(encodings.encode(content, encoding), encoding, MOST) == content


@given(st.binary(max_size=MOST), st.sampled_from(["LZ4", "ZSTD", "none"]))
def test_unframe_undoes_frame(content: bytes, method: str) -> None:
    assert encodings.unframe(encodings.frame(content, method), MOST) == content


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "zstd", "lz4", "br", ""]))
def test_any_bytes_are_decoded_or_refused(content: bytes, encoding: str) -> None:
    for decode in (
        lambda: encodings.decode(content, encoding, MOST),
        lambda: encodings.unframe(content, MOST),
    ):
        with contextlib.suppress(errors.StoreError):
            assert len(decode()) <= MOST


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "lz4", "br"])
def test_body_that_swells_is_refused(encoding: str) -> None:
    with pytest.raises(errors.StoreError, match="QUERY_IS_TOO_LARGE"):
        encodings.decode(encodings.encode(bytes(50_000_000), encoding), encoding, MOST)


def test_frame_that_swells_is_refused() -> None:
    with pytest.raises(errors.StoreError, match="QUERY_IS_TOO_LARGE"):
        encodings.unframe(encodings.frame(bytes(MOST + 1)), MOST)


def test_broken_frame_is_noticed() -> None:
    framed = bytearray(encodings.frame(b"SELECT 1" * 100))
    framed[-1] ^= 1
    with pytest.raises(errors.StoreError, match="CHECKSUM_DOESNT_MATCH"):
        encodings.unframe(bytes(framed), MOST)


@pytest.mark.parametrize("method", ["LZ4", "ZSTD"])
def test_frames_are_those_of_a_known_client(method: str) -> None:
    """clickhouse-go, which read them, has said of a wrong hash that the data are corrupted."""
    framed = encodings.frame(b"a" * 100, method)
    assert framed[16] == {"LZ4": 0x82, "ZSTD": 0x90}[method]
    assert int.from_bytes(framed[17:21], "little") == len(framed) - 16
    high, low = divmod(driver.CityHash128(framed[16:]), 1 << 64)
    assert framed[:16] == high.to_bytes(8, "little") + low.to_bytes(8, "little")


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", ""), ("identity", ""), ("gzip, deflate", "gzip"), ("ZSTD", "zstd"), ("x, lz4;q=1", "lz4"),
        ("gzip;q=0, br;q=0.5", "br"), ("*", ""),
    ],
)  # fmt: skip
def test_first_known_encoding_is_taken(header: str, chosen: str) -> None:
    assert encodings.accepted(header) == chosen


def test_encodings_are_what_others_make() -> None:
    assert encodings.decode(gzip.compress(b"x"), "GZIP", MOST) == b"x"
    assert encodings.decode(zlib.compress(b"x"), " deflate", MOST) == b"x"
    assert encodings.decode(b"x", "identity", MOST) == b"x"


def test_strange_words_are_refused() -> None:
    with pytest.raises(errors.StoreError, match="UNKNOWN_COMPRESSION_METHOD"):
        encodings.decode(b"x", "snappy", MOST)
    with pytest.raises(errors.StoreError, match="UNKNOWN_COMPRESSION_METHOD"):
        encodings.frame(b"x", "DEFLATE")
