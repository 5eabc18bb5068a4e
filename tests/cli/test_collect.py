from __future__ import annotations

import contextlib
import itertools
import json
import pathlib
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyroute2
import pytest

from cli import collect
from lab import namespaces
from model import errors
from store import ddl

pytestmark = pytest.mark.net

Command = Callable[..., tuple[object, str, str]]
FLOWLEDGER = [sys.executable, "-m", "cli.main"]
FIELDS = {
    "src_address", "src_port", "dst_address", "dst_port", "protocol", "service_address", "service_port",
    "forward_packets", "forward_bytes", "reverse_packets", "reverse_bytes",
}  # fmt: skip
RULES = """
table inet t { chain input { type filter hook input priority 0; ct state new; udp dport 9 counter drop; }; }
"""


@pytest.fixture
def netns(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A network namespace in which 10.0.0.1 talks to itself, counted and with a rule that counts."""
    path = tmp_path / "netns"
    namespaces.create(path)
    try:
        namespaces.within(path, _prepare)
        yield path
    finally:
        namespaces.remove(path)


def _prepare() -> None:
    namespaces.set_sysctls({f"net.netfilter.nf_conntrack_{name}": "1" for name in ("acct", "timestamp")})
    with pyroute2.IPRoute() as links:
        links.link("set", index=1, state="up")
        links.addr("add", index=1, address="10.0.0.1", prefixlen=32)
    subprocess.run(["nft", "-f", "-"], input=RULES, text=True, check=True)


def _send(path: pathlib.Path, *ports: int) -> None:
    """One datagram to each port."""

    def work() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
            opened.bind(("10.0.0.1", 4000))
            for port in ports:
                opened.sendto(b"x" * 100, ("10.0.0.1", port))

    namespaces.within(path, work)


def test_once_prints_the_table_as_it_stands(command: Command, netns: pathlib.Path) -> None:
    _send(netns, 5000, 5001, 5000)
    code, out, _ = command("collect", "--netns", str(netns), "--once", "--source", "conntrack", "-o", "jsonl")
    rows = sorted(map(json.loads, out.splitlines()), key=lambda row: row["dst_port"])
    assert code == 0
    assert all(row.keys() >= FIELDS for row in rows)
    found = [tuple(row[n] for n in ("src_address", "src_port", "dst_port", "protocol", "service_address",
                                    "forward_packets", "forward_bytes")) for row in rows]  # fmt: skip
    assert found == [("10.0.0.1", 4000, 5000, 17, "", 2, 256), ("10.0.0.1", 4000, 5001, 17, "", 1, 128)]
    listed = namespaces.within(
        netns, lambda: subprocess.run(["conntrack", "-L"], capture_output=True, text=True, check=True)
    )
    assert len(listed.stdout.splitlines()) == len(rows)


@pytest.mark.parametrize("form", ["json", "csv", "table", "yaml"])
def test_empty_table_is_a_table_too(command: Command, netns: pathlib.Path, form: str) -> None:
    code, out, _ = command("collect", "--netns", str(netns), "--once", "--source", "conntrack", "-o", form)
    assert code == 0
    assert json.loads(out) == [] if form == "json" else out


def test_once_prints_what_rules_have_counted(command: Command, netns: pathlib.Path) -> None:
    _send(netns, 9, 9, 9)
    code, out, _ = command("collect", "--netns", str(netns), "--once", "--source", "counters", "-o", "json")
    (row,) = json.loads(out)
    assert (code, row["action"], row["packets"], row["bytes"]) == (0, "deny", 3, 384)


def test_check_says_what_each_source_gives(command: Command, netns: pathlib.Path) -> None:
    code, out, _ = command("collect", "--netns", str(netns), "--check", "-o", "json")
    known = {row["fact"]: row["known"] for row in json.loads(out)}
    assert (code, known["connections"], known["packets and bytes"]) == (0, "exact", "exact")
    assert "not asked for" in command("collect", "--netns", str(netns), "--check")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--once"], "add --source conntrack or --source counters", id="no source"),
        pytest.param(["--once", "--source", "nflog"], "add --source conntrack", id="nothing to show"),
        pytest.param(["--once", "--source", "conntrack", "-o", "arrow"], "arrow is a stream", id="stream"),
        pytest.param(["-o", "parquet"], "parquet has an end", id="form with an end"),
        pytest.param(
            ["--once", "--source", "conntrack", "--mark", "x"], "write a number, or value/mask", id="mark"
        ),
    ],
)
def test_what_cannot_be_is_said(command: Command, arguments: list[str], said: str) -> None:
    code, out, err = command("collect", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


@contextlib.contextmanager
def _collecting(netns: pathlib.Path, form: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [*FLOWLEDGER, "collect", "--netns", str(netns), "-o", form, "--metrics-port", "0",
               "--interval", "0.5", "--source", "conntrack"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            list(itertools.takewhile(lambda line: b"Ctrl-C" not in line, process.stderr or ()))
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("form", ["jsonl", "csv", "arrow"])
def test_flows_are_printed_as_they_come(netns: pathlib.Path, form: str) -> None:
    """Without a ledger."""
    with _collecting(netns, form) as process:
        _send(netns, 5000)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    if form == "arrow":
        found = pa.ipc.open_stream(out).read_all()
        assert found.schema.names == ddl.TABLES["flows"].names
        assert found.column("dst_port").to_pylist() == [5000]
    elif form == "csv":
        assert out.decode().splitlines()[0].split(",") == ddl.TABLES["flows"].names
    else:
        assert [json.loads(line)["dst_port"] for line in out.decode().splitlines()] == [5000]


def test_what_is_printed_cannot_be_asked_for() -> None:
    with pytest.raises(errors.StoreError, match="cannot be asked for again"):
        collect.stream("jsonl").query("SELECT 1", {})
