"""Exports read into a temporary file."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile

import pytest

from cli import exported
from model import columns, enums, errors

CAPTURES = pathlib.Path(__file__).parents[1] / "captures/exports"


def _read(*files, form=None, node=""):
    with tempfile.TemporaryFile() as kept:
        read = exported.read(files, form, node, kept)
        total = exported.Total()
        batches = list(exported.batches(kept))
        for batch in batches:
            total.count(batch)
    return read, total, batches


def test_files_of_several_formats_are_known_each_by_itself():
    names = ("goldmane-emitter.jsonl", "hubble-observe.jsonl")
    read, total, batches = _read(*(CAPTURES / name for name in names))
    assert [file.origin for file in read.files] == [enums.Origin.GOLDMANE, enums.Origin.HUBBLE]
    assert [file.pieces[0][0] for file in read.files] == [len(batch) for batch in batches] == [6, 10]
    assert total.rows == 16
    assert total.nodes == {"goldmane": {"goldmane"}, "hubble": {"node-1", "node-2"}}
    assert total.verdicts["hubble", "denied"] == 3
    assert total.first == 1_785_578_400_030_123_456
    assert read.files[1].lost == {("node-2", 1_785_578_400 // 3600): 12}


def test_node_may_be_said():
    _, total, _ = _read(CAPTURES / "goldmane-emitter.jsonl", node="edge")
    assert total.nodes == {"goldmane": {"edge"}}


def test_bad_lines_are_counted_and_the_first_kept(tmp_path):
    file = tmp_path / "flows"
    good = (CAPTURES / "netobserv.jsonl").read_text().splitlines()[0]
    file.write_text("\n".join([good, *["nonsense", "{}", '{"TimeFlowEndMs": 5}'] * 3]))
    read, total, _ = _read(file)
    (found,) = read.files
    assert (found.bad, total.rows) == (9, 1)
    assert [line for line, _ in found.shown] == [2, 3, 4, 5, 6]


REFUSED = {
    "empty": (b"", "is empty"),
    "no flow": (b'{"message": "hello"}\n', "in no format that we know: flows of goldmane"),
    "no JSON": (
        b"hello\n",
        r"no format that we know \(line 1 is no JSON: Expecting value at character 1\): flows",
    ),
    "truncated": (b"\x1f\x8b\x08\x00\x00", "breaks off"),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_what_is_no_export_is_said(tmp_path, case):
    content, reason = REFUSED[case]
    file = tmp_path / "flows"
    file.write_bytes(content)
    with pytest.raises(errors.SetupError, match=reason):
        _read(file)


MEASURED = """
import pathlib, resource, sys, tempfile
from cli import exported
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with tempfile.TemporaryFile() as kept:
    read = exported.read([pathlib.Path(sys.argv[1])], None, "", kept)
    rows = sum(len(batch) for batch in exported.batches(kept))
print(rows, len(read.files[0].pieces), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_is_that_of_a_piece(tmp_path):
    """100,000 lines, which would be 200 MB if all were kept."""
    flow = {"SrcAddr": "10.0.0.1", "DstAddr": "10.0.0.2", "DstPort": 80, "Proto": 6, "Flags": 2, "Bytes": 60,
            "Packets": 1, "TimeFlowEndMs": 1_785_578_400_000}  # fmt: skip
    file = tmp_path / "flows"
    with file.open("w") as stream:
        stream.writelines(f"{json.dumps(flow | {'SrcPort': n % 65_536})}\n" for n in range(100_000))
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, file], capture_output=True, text=True, timeout=300, check=True
    )
    rows, pieces, kilobytes = map(int, done.stdout.split())
    assert (rows, pieces) == (100_000, 10)
    assert kilobytes < 150_000


def test_label_sets_have_the_ledger_s_numbers():
    read, _, (batch,) = _read(CAPTURES / "goldmane-emitter.jsonl")
    sets = read.files[0].label_sets
    ids = set(columns.numbers(batch.column("src_labels_id")).tolist()) - {0}
    assert ids <= sets.keys()
    assert {"app": "web", "pod-template-hash": "6d9f5c7b8"} in sets.values()
