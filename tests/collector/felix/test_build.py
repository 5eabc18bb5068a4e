"""The version that a Go program carries, in programs that have little else."""

from __future__ import annotations

import pathlib
import struct
import sys

import pytest

from collector.felix import build

PACKAGE = "github.com/projectcalico/calico"
FLAGS = 'build\t-ldflags="-X {}={} -X ' + PACKAGE + '/pkg/buildinfo.BuildDate=2026-08-01T00:00:00+0000"\n'


def program(*sections: tuple[bytes, bytes], magic: bytes = b"\x7fELF\x02\x01") -> bytes:
    """An ELF file of these sections, by name and contents, and that of their names."""
    names, contents, headers = b"\0", b"", []
    for name, content in (*sections, (b".shstrtab", b"")):
        at = len(names)
        names += name + b"\0"
        body = content or names
        headers.append(struct.pack("<IIQQQQIIQQ", at, 1, 0, 0, 64 + len(contents), len(body), 0, 0, 1, 0))
        contents += body
    head = magic.ljust(40, b"\0") + struct.pack("<Q", 64 + len(contents)) + bytes(10)
    return head + struct.pack("<HHH", 64, len(headers), len(headers) - 1) + contents + b"".join(headers)


def go_program(variable: str, version: str) -> bytes:
    """A Go program with a version that was handed over to the linker."""
    flags = FLAGS.format(variable, version).encode()
    return program((b".text", b"\x90" * 5000), (b".go.buildinfo", b"\xff Go buildinf:\x08\x02" + flags))


@pytest.mark.parametrize(
    ("variable", "version"),
    [
        pytest.param("/node/buildinfo.GitVersion", "v3.30.0", id="3.30"),
        pytest.param("/pkg/buildinfo.Version", "v3.31.0", id="since 3.31"),
        pytest.param("/pkg/buildinfo.Version", "v3.33.0-0.dev-12-gabc123", id="between releases"),
    ],
)
def test_version(tmp_path: pathlib.Path, variable: str, version: str) -> None:
    made = tmp_path / "calico"
    made.write_bytes(go_program(PACKAGE + variable, version))
    assert build.version(made) == version


WHOLE = go_program(f"{PACKAGE}/pkg/buildinfo.Version", "v3.31.0")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"#!/bin/sh\n" + WHOLE, id="script"),
        pytest.param(program((b".text", b"buildinfo.Version=v1")), id="no Go"),
        pytest.param(program((b".go.buildinfo", b"path\tcommand")), id="no flags"),
        pytest.param(program((b".go.buildinfo", FLAGS.encode()), magic=b"\x7fELF\x01\x01"), id="32 bits"),
        pytest.param(WHOLE[:-70], id="cut off"),
        pytest.param(WHOLE[:62] + b"\xff\xff" + WHOLE[64:], id="names are nowhere"),
    ],
)
def test_what_tells_nothing(tmp_path: pathlib.Path, content: bytes) -> None:
    made = tmp_path / "calico"
    made.write_bytes(content)
    assert build.version(made) == ""


def test_what_is_not_there(tmp_path: pathlib.Path) -> None:
    assert build.version(tmp_path / "calico") == ""


def test_real_program_that_is_not_go_s() -> None:
    assert build.version(pathlib.Path(sys.executable)) == ""
