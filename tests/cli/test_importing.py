"""``flowledger import`` from end to end, on a folder of its own."""

from __future__ import annotations

import gzip
import json
import os
import pathlib
import subprocess
import sys

import pytest

CAPTURES = pathlib.Path(__file__).parents[1] / "captures/exports"
NAMES = ("goldmane-emitter.jsonl", "calico-enterprise.jsonl", "hubble-observe.jsonl", "netobserv.jsonl")
GOOD = (CAPTURES / "netobserv.jsonl").read_text().splitlines()[0]

ASK = """
import sys
from store import filters, queries, transport
ledger = transport.open(sys.argv[1])
span = queries.bounds(ledger)
for origin in ("goldmane", "calico-enterprise", "hubble", "netobserv"):
    condition = filters.compile(f"origin = {origin}")
    print(origin, len(queries.flows(ledger, span, condition)), queries.summary(ledger, span).flows)
"""


def _run(*words, stdin=b""):
    """In a process of its own: chDB allows one folder a process."""
    environment = {**os.environ, "FLOWLEDGER_STORE__RETENTION_DAYS": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "import", *map(str, words)], input=stdin, capture_output=True,
        timeout=120, env=environment,
    )  # fmt: skip
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def _asked(url):
    done = subprocess.run([sys.executable, "-c", ASK, url], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_four_formats_twice_are_there_once(tmp_path):
    url = f"chdb://{tmp_path}/ledger"
    files = [CAPTURES / name for name in NAMES]
    code, out, err = _run("--store", url, *files)
    assert (code, err) == (0, "")
    for said in ("goldmane", "calico-enterprise", "hubble", "netobserv", "2026-08-01 10:10:00",
                 "4 left out, no flows of their own", "What next: flowledger flows 'origin in (",
                 "--since 2026-08-01T10:00:00Z", url):  # fmt: skip
        assert said in out
    found = _asked(url)
    assert [line.rpartition(" ")[0] for line in found] == [
        "goldmane 6", "calico-enterprise 7", "hubble 10", "netobserv 10",
    ]  # fmt: skip
    packed = tmp_path / "netobserv.jsonl"
    packed.write_bytes(gzip.compress(files[3].read_bytes()))
    code, out, err = _run("--store", url, *files[:3], packed)
    assert (code, err, out.count("was imported before: nothing is added.")) == (0, "", 4)
    assert _asked(url) == found


def test_dry_run_writes_nothing(tmp_path):
    code, out, err = _run("--dry-run", "--store", f"chdb://{tmp_path}/none", CAPTURES / NAMES[2])
    assert (code, err) == (0, "")
    assert "Nothing was written: --dry-run." in out
    assert list(tmp_path.iterdir()) == []


def test_standard_input_with_a_node(tmp_path):
    content = (CAPTURES / NAMES[0]).read_bytes()
    code, out, _ = _run("--dry-run", "--node", "edge", "--format", "goldmane", "-", stdin=content)
    assert (code, "goldmane" in out) == (0, True)


def test_bad_lines_are_shown_and_cost_only_themselves(tmp_path):
    file = tmp_path / "flows.jsonl"
    file.write_text("\n".join([GOOD, *["nonsense"] * 7, "{}"]))
    code, out, err = _run("--dry-run", file)
    assert code == 0
    assert err.splitlines() == [
        *(f"flows.jsonl:{line}: no JSON: Expecting value at character 1" for line in range(2, 7)),
        "warning: flows.jsonl: 8 bad lines; the first 5 are shown",
    ]
    code, out, err = _run("--strict", "--store", f"chdb://{tmp_path}/none", file)
    assert (code, out) == (2, "")
    assert "error: 8 bad lines, and --strict: nothing is imported" in err
    assert not (tmp_path / "none").exists()


REFUSED = {
    "empty": (b"", "error: {file} is empty"),
    "no format": (b"{}", "error: {file} is in no format that we know: flows of goldmane, calico-enterprise"),
    "truncated": (gzip.compress(GOOD.encode())[:-10], "error: {file} breaks off: its compression has no end"),
    "no good line": (b'{"TimeFlowEndMs": 5}', "error: no line of flows is a flow that can be read"),
    "no flow": (
        json.dumps({**json.loads(GOOD), "Duplicate": True}).encode(),
        "error: there is no flow in flows",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_what_cannot_be_imported_is_one_sentence(tmp_path, case):
    content, said = REFUSED[case]
    file = tmp_path / "flows"
    file.write_bytes(content)
    code, out, err = _run("--store", f"chdb://{tmp_path}/none", file)
    assert (code, out) == (2, "")
    assert said.format(file=file) in err
    assert "Traceback" not in err


def test_absent_file_and_absent_ledger_are_said(tmp_path):
    code, _, err = _run(tmp_path / "absent")
    assert (code, "cannot be read: No such file" in err) == (2, True)
    code, _, err = _run("--store", "http://127.0.0.1:1", CAPTURES / NAMES[0])
    assert (code, "error: no ledger answers at http://127.0.0.1:1/" in err) == (2, True)
