"""``collect`` without a ledger: what a node offers, its table as it stands, and flows as they come."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import IO

import pyarrow as pa
import pytest

from cli import collect
from collector import snapshot
from lab import entries, load, namespaces
from model import columns, errors

Command = Callable[..., tuple[object, str, str]]
ROOT = pathlib.Path(__file__).parents[2]
CLIENT = b"10.65.0.2"
UDP = entries.Kind(protocol=17)
RULES = """
table inet firewall {
  chain input {
    type filter hook input priority 0;
    udp dport 7002 counter log prefix "DPI1|np/shop/web" group 1 drop
  }
}
"""


@pytest.fixture
def path(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A namespace with a rule that counts and logs, where connections are counted."""
    path = tmp_path / "namespace"
    namespaces.create(path)
    try:
        switches = {f"net.netfilter.nf_conntrack_{name}": "1" for name in ("acct", "timestamp")}
        namespaces.within(path, lambda: namespaces.set_sysctls(switches))
        _run(path, "nft", "-f", "-", text=RULES)
        _run(path, "ip", "link", "set", "lo", "up")
        yield path
    finally:
        namespaces.remove(path)


def _run(path: pathlib.Path, *command: str, text: str = "") -> str:
    done = namespaces.within(
        path, lambda: subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    )
    return done.stdout


def _ask(path: pathlib.Path, requests: Iterator[bytes]) -> None:
    with namespaces.within(path, load.open_table) as opened:
        assert entries.send(opened, requests) == 0


CHECK = ("--check", "--source", "conntrack", "--source", "nflog", "--source", "probe")


@pytest.mark.net
def test_check_is_for_programs(command: Command, path: pathlib.Path) -> None:
    words = ("collect", "--netns", str(path), *CHECK)
    code, out, err = command(*words, "-o", "json")
    assert (code, err) == (0, "")
    rows = json.loads(out)
    told = {row["fact"]: (row["source"], row["known"]) for row in rows}
    told.pop("connections")  # which depends on the kernel's events
    assert told == {
        "packets and bytes": ("conntrack", "exact"), "begin and end": ("conntrack", "exact"),
        "deciding rule": ("nflog", "exact"), "totals by rule": ("counters", "exact"),
        "denied attempts": ("probe", "exact"), "policy trace": ("felix", "unknown"),
    }  # fmt: skip
    assert {frozenset(row) for row in rows} == {frozenset({"source", "fact", "known", "because", "improve"})}
    assert [json.loads(line) for line in command(*words, "-o", "jsonl")[1].splitlines()] == rows


@pytest.mark.net
def test_check_is_a_table_in_which_nothing_is_cut_off(command: Command, path: pathlib.Path) -> None:
    words = ("collect", "--netns", str(path), *CHECK)
    rows = json.loads(command(*words, "-o", "json")[1])
    shown = command(*words)[1].split()
    for row in rows:
        for word in " ".join(row.values()).split():
            assert word in shown
    assert shown[:5] == ["source", "fact", "known", "because", "improve"]


FIELDS = {
    "src_address", "src_port", "dst_address", "dst_port", "protocol", "service_address", "service_port",
    "forward_packets", "forward_bytes", "reverse_packets", "reverse_bytes",
}  # fmt: skip


def _once(command: Command, path: pathlib.Path, *words: str) -> str:
    code, out, err = command("collect", "--netns", str(path), "--source", "conntrack", "--once", *words)
    assert (code, err) == (0, "")
    return out


@pytest.mark.net
def test_once_has_every_connection_that_conntrack_lists(command: Command, path: pathlib.Path) -> None:
    _ask(path, entries.insertions(entries.mix(), 2000))
    rows = [json.loads(line) for line in _once(command, path, "-o", "jsonl").splitlines()]
    assert {frozenset(row) for row in rows} == {frozenset(snapshot.SCHEMA.names)}
    assert set(snapshot.SCHEMA.names) >= FIELDS
    listed = _run(path, "conntrack", "-L", "-o", "extended").splitlines()
    assert len(rows) == len(listed) == 2000
    ends = sorted((row["src_address"], row["service_address"] or row["dst_address"]) for row in rows)
    assert ends == sorted(tuple(re.findall(r"(?:src|dst)=(\S+)", line)[:2]) for line in listed)


@pytest.mark.net
@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "yaml", "table"])
@pytest.mark.parametrize("count", [0, 3])
def test_once_in_each_form(command: Command, path: pathlib.Path, form: str, count: int) -> None:
    _ask(path, entries.insertions([UDP], count))
    out = _once(command, path, "-o", form)
    if form == "csv":
        head, *rows = csv.reader(io.StringIO(out))
        assert head == snapshot.SCHEMA.names
    elif form == "table":
        head, *rows = [line.split() for line in out.splitlines() if line.strip(" ─")]
        assert head[:4] == ["proto", "src", "address", "src"]
    elif form == "yaml":
        rows = re.findall("(?m)^- src_address", out)
    else:
        rows = json.loads(out) if form == "json" else [json.loads(line) for line in out.splitlines()]
    assert len(rows) == count


@pytest.mark.net
def test_once_of_many_names_columns_once(command: Command, path: pathlib.Path) -> None:
    """They come in several batches."""
    _ask(path, entries.insertions([UDP], 20_000))
    lines = _once(command, path, "-o", "csv").splitlines()
    assert len(lines) == 20_001
    assert sum(line.startswith("src_address") for line in lines) == 1


@pytest.mark.net
def test_once_keeps_to_a_zone(command: Command, path: pathlib.Path) -> None:
    entry = ("conntrack", "-I", "-p", "udp", "-s", "10.0.0.1", "-d", "10.0.0.2", "--dport", "53", "-t", "60")
    for zone in ("0", "5"):
        _run(path, *entry, "--sport", "1000", "-w", zone)
    _run(path, *entry, "--sport", "1001", "-m", "16")
    for words, count in ((("--zone", "5"), 1), (("--mark", "0x10/0xff"), 1), ((), 3)):
        assert len(_once(command, path, "-o", "jsonl", *words).splitlines()) == count


@pytest.mark.net
def test_once_of_counters_has_what_rules_have_counted(command: Command, path: pathlib.Path) -> None:
    with namespaces.within(path, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sending:
        for _ in range(3):
            sending.sendto(b"four", ("127.0.0.1", 7002))
    code, out, _ = command(
        "collect", "--netns", str(path), "--source", "counters", "--once", "-o", "json"
    )  # fmt: skip
    assert (code, json.loads(out)) == (0, [{
        "direction": "ingress", "tier": "", "kind": "np", "namespace": "shop", "name": "web",
        "action": "deny", "rule": 1, "exact": True, "packets": 3, "bytes": 3 * 32,
    }])  # fmt: skip


MISTAKES = [
    pytest.param(["--once"], "--once shows a table as it stands", id="once, all sources"),
    pytest.param(["--once", "--source", "conntrack", "--source", "counters"], "one of them", id="once, two"),
    pytest.param(["--once", "--source", "nflog"], "add --source conntrack or", id="once, none"),
    pytest.param(["--once", "--source", "conntrack", "-o", "arrow"], "arrow is a stream", id="once, arrow"),
    pytest.param(["--once", "--source", "conntrack", "--mark", "red"], "conntrack mark 'red'", id="mark"),
    pytest.param(["--check", "-o", "arrow"], "arrow is a stream", id="check, arrow"),
    pytest.param(["-o", "json"], "flows go on: -o takes table, jsonl, csv, arrow here; json has an end",
                 id="stream of JSON"),
    pytest.param(["-o", "parquet"], "parquet has an end", id="stream of Parquet"),
    pytest.param(["-o", "yaml"], "yaml has an end", id="stream of YAML"),
    pytest.param(["-o", "jsonl", "--source", "ebpf"], "there is no source 'ebpf'", id="source"),
    pytest.param(["-o", "jsonl", "--nflog-grammars", "cilium"], "no NFLOG grammar 'cilium'", id="grammar"),
    pytest.param(["-o", "jsonl", "--nflog-pattern", "("], "NFLOG pattern '('", id="pattern"),
    pytest.param(["-o", "jsonl", "--nflog-groups", "70000"], "no NFLOG group 70000", id="group"),
    pytest.param(["-o", "jsonl", "--netns", "/nowhere"], "cannot enter network namespace", id="netns"),
    pytest.param(["--check", "--netns", "/nowhere"], "cannot enter network namespace", id="check, netns"),
]  # fmt: skip


@pytest.mark.net
@pytest.mark.parametrize(("words", "said"), MISTAKES)
def test_mistake_is_one_line(command: Command, path: pathlib.Path, words: list[str], said: str) -> None:
    code, out, err = command("collect", "--metrics-port", "0", "--netns", str(path), *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert said in err


@contextlib.contextmanager
def _collecting(path: pathlib.Path, form: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that prints flows, once it runs; ended as Kubernetes ends it."""
    command = [sys.executable, "-m", "cli.main", "collect", "--netns", str(path), "--node", "node-1",
               "--interval", "0.5", "--metrics-port", "0", "--source", "conntrack", "-o", form]  # fmt: skip
    pipe = subprocess.PIPE
    wide = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    with subprocess.Popen(command, cwd=ROOT, env=wide, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            assert any(b"Ctrl-C" in line for line in process.stderr or ())
            yield process
        finally:
            process.kill()


def _lines(stream: IO[bytes], count: int) -> str:
    """Lines until so many are of flows."""
    text = b""
    while text.count(CLIENT) < count:
        line = stream.readline()
        assert line
        text += line
    return text.decode()


@pytest.mark.net
@pytest.mark.parametrize("form", ["jsonl", "csv", "table"])
def test_flows_come_as_lines(path: pathlib.Path, form: str) -> None:
    with _collecting(path, form) as process:
        assert process.stdout is not None
        text = ""
        for first in (0, 10):  # the second time after the first has been seen
            _ask(path, entries.lives(UDP, 10, first=first))
            text += _lines(process.stdout, 10)
        _ask(path, entries.lives(UDP, 5, first=20))
        process.send_signal(signal.SIGTERM)
        rest, said = process.communicate(timeout=10)
    assert (process.returncode, said) == (0, b"")
    text += rest.decode()  # the last interval
    if form == "jsonl":
        rows = [json.loads(line) for line in text.splitlines()]
    elif form == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        assert text.count("src_address") == 1
    else:
        assert text.count(CLIENT.decode()) == 25
        assert text.count("verdict") == 1
        return
    assert [(row["node"], row["src_address"], str(row["connections_started"])) for row in rows] == (
        25 * [("node-1", CLIENT.decode(), "1")]
    )
    assert len({row["src_port"] for row in rows}) == 25
    assert {tuple(row) for row in rows} == {tuple(columns.schema(columns.Stage.IDENTITY).names)}


@pytest.mark.net
def test_flows_come_as_arrow(path: pathlib.Path) -> None:
    with _collecting(path, "arrow") as process:
        assert process.stdout is not None
        _ask(path, entries.lives(UDP, 10))
        reading = pa.ipc.open_stream(process.stdout)
        batches = [reading.read_next_batch()]
        _ask(path, entries.lives(UDP, 5, first=10))
        while sum(map(len, batches)) < 15:
            batches.append(reading.read_next_batch())
        maps = pathlib.Path(f"/proc/{process.pid}/maps").read_text()
        process.send_signal(signal.SIGTERM)
        assert sum(len(batch) for batch in reading) == 0  # and comes to its end
        assert process.wait(timeout=10) == 0
    assert reading.schema.names == columns.schema(columns.Stage.IDENTITY).names
    rows = pa.Table.from_batches(batches)
    assert len(rows) == 15
    assert set(rows["node"].to_pylist()) == {"node-1"}
    assert sum(rows["connections_started"].to_pylist()) == 15
    for heavy in ("pandas", "chdb"):
        assert heavy not in maps


@pytest.mark.net
@pytest.mark.parametrize("form", ["arrow", "jsonl"])
def test_nothing_seen_ends_well(path: pathlib.Path, form: str) -> None:
    with _collecting(path, form) as process:
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=10) == (b"", b"")
    assert process.returncode == 0


def test_printed_flows_cannot_be_asked_for() -> None:
    stream = collect.stream("jsonl")
    for ask in (lambda: stream.query("SELECT 1", {}), lambda: stream.query_bytes("SELECT 1", {}, "CSV")):
        with pytest.raises(errors.StoreError, match="cannot be asked for again"):
            ask()
    stream.close()


def test_other_tables_are_passed_over(
    capsys: pytest.CaptureFixture[str], flows: Callable[..., pa.RecordBatch]
) -> None:
    stream = collect.stream("jsonl")
    stream.insert("completeness", pa.record_batch({"node": ["n"]}))
    assert capsys.readouterr().out == ""
    stream.insert("flows", flows({"src_address": "10.0.0.9"}))
    assert json.loads(capsys.readouterr().out)["src_address"] == "10.0.0.9"
