"""``flowledger flows`` on a ledger that is served over HTTP."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pyarrow as pa
import pytest

from model import columns
from store import ddl, transport

Build = Callable[..., pa.RecordBatch]
Command = Callable[..., tuple[object, str, str]]
SECOND = 1_000_000_000


@pytest.fixture
def five(ledger: transport.Transport, flows: Build) -> None:
    """Five flows of the last minutes: ``n1`` is the oldest, and ``n5`` was denied."""
    now = time.time_ns()
    rows = [{"node": f"n{n}", "time": now - (60 - n) * 10 * SECOND} for n in range(1, 5)]
    denied = {
        "node": "n5",
        "time": now - SECOND,
        "verdict": "denied",
        "src_pod": "web-1",
        "src_kind": "pod",
        "src_namespace": "shop",
        "src_workload": "web",
        "deciding_rule": "ingress|sec|end-of-tier|deny|-1",
    }
    ledger.insert("flows", flows(denied, *rows))


def _nodes(text: str) -> list[str]:
    return [json.loads(line)["node"] for line in text.splitlines()]


@pytest.mark.parametrize(
    ("words", "nodes"),
    [
        pytest.param([], ["n1", "n2", "n3", "n4", "n5"], id="newest last"),
        pytest.param(["verdict = denied"], ["n5"], id="filter"),
        pytest.param(["--since", "5s"], ["n5"], id="short span"),
        pytest.param(["--since", "20000w"], ["n1", "n2", "n3", "n4", "n5"], id="longest span"),
        pytest.param(["--limit", "5", "--since", "5s"], ["n5"], id="limit not reached"),
        pytest.param(["verdict = unknown"], [], id="none"),
    ],
)
def test_flows_are_those_asked_for(
    five: None, url: str, command: Command, words: list[str], nodes: list[str]
) -> None:
    code, out, err = command("flows", "--ledger", url, "-o", "jsonl", *words)
    assert (code, _nodes(out), err) == (0, nodes, "")


def test_limit_keeps_the_newest(five: None, url: str, command: Command) -> None:
    code, out, err = command("flows", "--ledger", url, "-o", "jsonl", "--limit", "2")
    assert (code, _nodes(out)) == (0, ["n4", "n5"])
    assert err == "the newest 2 are shown; --limit shows more\n"


def test_pending_verdict_is_shown_where_there_is_one_or_somebody_asks(
    five: None, ledger: transport.Transport, flows: Build, url: str, command: Command
) -> None:
    asked = "pending_verdict = denied"
    _, out, _ = command("flows", "--ledger", url, f"not {asked}")
    assert "if staged" in out
    assert "if staged" not in command("flows", "--ledger", url)[1]
    staged = {"node": "staged", "time": time.time_ns() - SECOND, "pending_verdict": "denied"}
    ledger.insert("flows", flows(staged))
    assert "if staged" in command("flows", "--ledger", url)[1]
    code, out, err = command("flows", "--ledger", url, "-o", "jsonl", asked)
    assert (code, _nodes(out), err) == (0, ["staged"], "")


def test_table_names_ends_and_rule(five: None, url: str, command: Command) -> None:
    code, out, err = command("flows", "--ledger", url, "verdict = denied")
    header, _, row = [line.split() for line in out.splitlines() if line.strip()]
    assert (code, err) == (0, "")
    assert header == [
        "time", "src", "dst", "port", "proto", "verdict", "sent", "received", "decided", "by", "id",
    ]  # fmt: skip
    assert row[1:8] == ["shop/web", "10.0.0.2", "8080", "TCP", "denied", "1,000", "234"]
    assert " ".join(row[8:-1]) == "ingress: end of tier sec, no policy allowed it"
    assert len(bytes.fromhex(row[-1])) == 8


@pytest.mark.parametrize(
    ("form", "err"),
    [
        pytest.param("table", "99.00 % complete: 1 event lost on node-7\n", id="table"),
        pytest.param("jsonl", "", id="jsonl"),
        pytest.param("csv", "", id="csv"),
    ],
)
def test_person_is_told_how_complete_it_is(
    five: None, ledger: transport.Transport, url: str, command: Command, form: str, err: str
) -> None:
    now = time.time_ns()
    said = {"node": ["node-7"], "source": ["nflog"], "observed": [99], "lost": [1], "discarded": [0]}
    statement = columns.batch(ddl.COMPLETENESS, {"time": [now], **said, "incomplete": [0], "note": [""]})
    ledger.insert("completeness", statement)
    code, out, told = command("flows", "--ledger", url, "-o", form)
    assert (code, told, "complete" in out) == (0, err, False)


@pytest.mark.parametrize(
    ("form", "out", "err"),
    [
        pytest.param("table", "", "no such flow in the last 1h; --since goes further back\n", id="table"),
        pytest.param("json", "[]\n", "", id="json"),
        pytest.param("jsonl", "", "", id="jsonl"),
    ],
)
def test_no_flow_is_no_error(url: str, command: Command, form: str, out: str, err: str) -> None:
    assert command("flows", "--ledger", url, "--since", "1h", "-o", form) == (0, out, err)


@pytest.mark.parametrize(
    "value",
    [
        "' OR 1=1 --",
        "'; DROP TABLE flows; --",
        "\\' OR '1'='1",
        "\\",
        'x") UNION ALL SELECT * FROM flows --',
        "{p0:String}",
        "%s",
        "‘",
        "\n",
    ],
)
def test_words_of_a_command_are_values(five: None, url: str, command: Command, value: str) -> None:
    """As a value they find nothing; as a filter or a span they are a mistake, in one line."""
    quoted = "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    asked = ("flows", "--ledger", url, "-o", "jsonl")
    for field in ("src.pod", "src.label.app", "label.x", "node"):
        assert command(*asked, f"{field} = {quoted}") == (0, "", "")
    for words in (["--since", value], [f"port = {quoted}"], [f"time > {quoted}"], [f"({value}"]):
        code, out, err = command(*asked, *words)
        assert (code, out, err[:7]) == (2, "", "error: ")
    assert len(_nodes(command(*asked)[1])) == 5


@pytest.mark.parametrize("form", ["json", "parquet", "yaml"])
def test_format_with_an_end_cannot_follow(command: Command, form: str) -> None:
    said = f"error: --follow writes table, jsonl, csv; {form} has an end\n"
    assert command("flows", "--follow", "-o", form) == (2, "", said)


def test_ledger_is_the_gateway_by_default(
    five: None, url: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWLEDGER_GATEWAY__PORT", url.rpartition(":")[2])
    code, out, _ = command("flows", "-o", "jsonl")
    assert (code, len(_nodes(out))) == (0, 5)


def test_follow_goes_on_until_interrupted(
    five: None, ledger: transport.Transport, flows: Build, url: str
) -> None:
    words = ["flows", "--ledger", url, "--follow", "-o", "jsonl", "verdict = denied"]
    command = ["env", "--default-signal=INT", sys.executable, "-m", "cli.main", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    root = pathlib.Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, **pipes) as process:
        try:
            assert _nodes(process.stdout.readline()) == ["n5"]
            fresh = {"node": "fresh", "verdict": "denied", "time": time.time_ns()}
            ledger.insert("flows", flows({**fresh, "node": "other", "verdict": "allowed"}, fresh))
            assert _nodes(process.stdout.readline()) == ["fresh"]
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
            assert (process.stdout.read(), process.stderr.read().strip()) == ("", "")
        finally:
            process.kill()
