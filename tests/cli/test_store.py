"""``flowledger store`` on a ledger that is served over HTTP, and on a folder of its own."""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

import pyarrow as pa
import pytest

from store import spool, status, transport

Build = Callable[..., pa.RecordBatch]
Command = Callable[..., tuple[object, str, str]]


def _run(*words: str) -> tuple[int, str, str]:
    """In a process of its own: chDB allows one folder a process."""
    command = [sys.executable, "-m", "cli.main", "store", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_init_makes_a_folder_once(tmp_path: pathlib.Path) -> None:
    url = f"chdb://{tmp_path}/new"
    for was in ("new", "as it was"):
        code, out, err = _run("init", "--store", url)
        assert (code, out, err) == (0, f"{url}: schema version 5, {was}\n", "")
    code, out, err = _run("migrate", "--store", url, "-o", "json")
    assert (code, json.loads(out)["schema"], err) == (0, 5, "")
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
    for said in ("schema version 5", "2 connections and attempts", "1 denied",
                 "no report of how complete it is", "flows_minute", "flows_hour", "bytes a row",
                 "workload_kind"):  # fmt: skip
        assert said in out


def test_status_is_json_for_a_program(
    ledger: transport.Transport, flows: Build, command: Command, url: str
) -> None:
    ledger.command("ALTER TABLE flows MODIFY SETTING min_bytes_for_wide_part = 0", {})
    ledger.insert("flows", flows({}, {"verdict": "denied"}))
    code, out, err = command("store", "status", "--ledger", url, "-o", "json")
    found = json.loads(out)
    assert (code, err, found["schema"], found["summary"]["denied"]) == (0, "", 5, 1)
    assert {row["table"] for row in found["tables"]} >= {"flows", "flows_minute", "flows_hour"}
    assert len(found["columns"]) > 40


def test_status_of_an_empty_ledger(command: Command, url: str) -> None:
    code, out, err = command("store", "status", "--ledger", url)
    assert (code, "no flow yet" in out, err) == (0, True, "")


@pytest.fixture
def waiting(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> spool.Spool:
    """A spool of the settings, in which one file waits, one grows, and one is set aside."""
    folder = tmp_path / "spool"
    monkeypatch.setenv("FLOWLEDGER_STORE__SPOOL", str(folder))
    opened = spool.Spool(
        folder, most_bytes=1 << 20, batch_rows=10, node="n", discarded=lambda table, reason, rows: None
    )
    opened.open()
    for table in ("completeness", "flows"):
        opened.append(table, pa.record_batch({"n": [1]}))
        opened.cut()
    opened.set_aside(opened.oldest(), spool.REFUSED)
    opened.append("flows", pa.record_batch({"n": [1, 2]}))
    return opened


def test_status_shows_the_spool_of_a_running_process(
    waiting: spool.Spool, command: Command, url: str
) -> None:
    folder = waiting._folder
    (first, *_) = folder.glob("*.arrow")
    os.utime(first, (time.time() - 3600, time.time() - 3600))
    code, out, err = command("store", "status", "--ledger", url, "-o", "json")
    found = json.loads(out)["spool"]
    assert (code, err) == (0, "")
    assert found.pop("oldest_seconds") == pytest.approx(3600, abs=60)
    assert found == {
        "folder": str(folder), "files": 2, "rejected_files": 1,
        "bytes": sum(path.stat().st_size for path in (*folder.glob("*.arrow"), *folder.glob("*.open"))),
        "rejected_bytes": sum(path.stat().st_size for path in (folder / "rejected").iterdir()),
    }  # fmt: skip
    assert waiting.append("flows", pa.record_batch({"n": [3]}))


def test_status_shows_the_spool_though_no_ledger_answers(waiting: spool.Spool, command: Command) -> None:
    code, out, err = command("store", "status", "--ledger", "http://127.0.0.1:1")
    assert (code, "no ledger answers" in err) == (2, True)
    assert out.startswith(f"spool {waiting._folder}: 2 files wait, ")
    assert "of 1.1 GB, the oldest for 0 s; 1 set aside" in out


def test_status_without_a_spool_shows_none(
    command: Command, url: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWLEDGER_STORE__SPOOL", str(tmp_path / "none"))
    assert "spool" not in command("store", "status", "--ledger", url)[1]
    assert json.loads(command("store", "status", "--ledger", url, "-o", "json")[1])["spool"] is None


def test_status_says_that_a_spool_cannot_be_read(
    waiting: spool.Spool, command: Command, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: pathlib.Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(status, "spooled", refuse)
    code, out, _ = command("store", "status", "--ledger", url)
    assert (code, out.splitlines()[0]) == (0, f"spool {waiting._folder}: Permission denied")


def test_status_without_a_ledger_says_so(command: Command) -> None:
    code, out, err = command("store", "status", "--ledger", "http://127.0.0.1:1")
    assert (code, out) == (2, "")
    assert "no ledger answers" in err


LOG = "store/abc/abc-def/deduplication_logs"


@pytest.fixture
def killed(tmp_path: pathlib.Path) -> pathlib.Path:
    """A server's folder with a token whose part was never named."""
    log = tmp_path / LOG / "deduplication_log_1.txt"
    log.parent.mkdir(parents=True)
    log.write_text("1\t20260101_1_1_0\taaa\n1\t20260101_2_2_0\tbbb\n")
    (tmp_path / "store/abc/abc-def/20260101_1_1_0").mkdir()
    return tmp_path


def test_mend_forgets_what_a_kill_kept_out(killed: pathlib.Path, command: Command) -> None:
    code, out, err = command("store", "mend", str(killed))
    log = killed / LOG / "deduplication_log_1.txt"
    assert (code, out, err) == (0, f"{log}: forgot a token whose rows a kill had kept out\n", "")
    assert log.read_text() == "1\t20260101_1_1_0\taaa\n"
    assert command("store", "mend", str(killed)) == (0, "", "")


def test_mend_leaves_a_running_server_alone(killed: pathlib.Path, command: Command) -> None:
    with (killed / "status").open("w") as status_file:
        fcntl.flock(status_file, fcntl.LOCK_EX)
        code, out, err = command("store", "mend", str(killed))
    assert (code, out, err) == (2, "", f"error: a server runs on {killed}: stop it first\n")


def test_mend_refuses_what_is_no_server_s_folder(tmp_path: pathlib.Path, command: Command) -> None:
    assert command("store", "mend", str(tmp_path)) == (0, "", "")  # before the first start
    (tmp_path / "flowledger.json").touch()
    code, out, err = command("store", "mend", str(tmp_path))
    assert (code, out, "is no ClickHouse server's folder" in err) == (2, "", True)
