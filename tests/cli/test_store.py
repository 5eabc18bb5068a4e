"""``flowledger store`` on a ledger that is served over HTTP, and on a folder of its own."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Callable

import pyarrow as pa
import pytest

from store import transport

Build = Callable[..., pa.RecordBatch]
Command = Callable[..., tuple[object, str, str]]


def _run(*words: str) -> tuple[int, str, str]:
    """In a process of its own: chDB allows one folder a process."""
    command = [sys.executable, "-m", "cli.main", "store", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_init_makes_a_folder_once(tmp_path: pathlib.Path) -> None:
    url = f"chdb://{tmp_path}/new"
    for _ in range(2):
        code, out, err = _run("init", "--store", url)
        assert (code, out.startswith(f"{url}: schema version 3"), err) == (0, True, "")
    code, out, err = _run("migrate", "--store", url, "-o", "json")
    assert (code, json.loads(out)["schema"], err) == (0, 3, "")
    code, out, err = _run("status", "--ledger", url, "-o", "json")
    assert (code, json.loads(out)["first"], err) == (0, None, "")


@pytest.mark.parametrize("word", ["init", "migrate"])
def test_read_only_ledger_cannot_be_changed(command: Command, url: str, word: str) -> None:
    code, out, err = command("store", word, "--store", url)
    assert (code, out) == (2, "")
    assert "read-only" in err


def test_status_is_a_page_for_a_person(
    ledger: transport.Transport, flows: Build, command: Command, url: str
) -> None:
    ledger.command("ALTER TABLE flows MODIFY SETTING min_bytes_for_wide_part = 0", {})
    ledger.insert("flows", flows({}, {"verdict": "denied"}))
    code, out, err = command("store", "status", "--ledger", url)
    assert (code, err) == (0, "")
    for said in ("schema version 3", "2 connections and attempts", "1 denied",
                 "no report of how complete it is", "flows_minute", "flows_hour", "bytes a row",
                 "egress_action"):  # fmt: skip
        assert said in out


def test_status_is_json_for_a_program(
    ledger: transport.Transport, flows: Build, command: Command, url: str
) -> None:
    ledger.command("ALTER TABLE flows MODIFY SETTING min_bytes_for_wide_part = 0", {})
    ledger.insert("flows", flows({}, {"verdict": "denied"}))
    code, out, err = command("store", "status", "--ledger", url, "-o", "json")
    found = json.loads(out)
    assert (code, err, found["schema"], found["summary"]["denied"]) == (0, "", 3, 1)
    assert {row["table"] for row in found["tables"]} >= {"flows", "flows_minute", "flows_hour"}
    assert len(found["columns"]) > 40


def test_status_of_an_empty_ledger(command: Command, url: str) -> None:
    code, out, err = command("store", "status", "--ledger", url)
    assert (code, "no flow yet" in out, err) == (0, True, "")


def test_status_without_a_ledger_says_so(command: Command) -> None:
    code, out, err = command("store", "status", "--ledger", "http://127.0.0.1:1")
    assert (code, out) == (2, "")
    assert "no ledger answers" in err
