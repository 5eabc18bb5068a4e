"""Files of JSON in pieces."""

import gzip
import io
import json
import sys
import tracemalloc

import pytest

from collector.exports import reading
from model import errors

OBJECTS = [{"n": n, "text": "ä" * n} for n in range(5)]

FORMS = {
    "lines": "\n".join(map(json.dumps, OBJECTS)),
    "lines with a last one": "\n".join(map(json.dumps, OBJECTS)) + "\n",
    "lines with empty ones": "\n\n".join(map(json.dumps, OBJECTS)),
    "lines of Windows": "\r\n".join(map(json.dumps, OBJECTS)),
    "with a byte order mark": "\ufeff" + "\n".join(map(json.dumps, OBJECTS)),
    "array": json.dumps(OBJECTS),
    "array over many lines": json.dumps(OBJECTS, indent=2),
    "array with a byte order mark": "\ufeff" + json.dumps(OBJECTS, indent=2),
    "objects over many lines": "\n".join(json.dumps(one, indent=2) for one in OBJECTS),
    "unescaped": json.dumps(OBJECTS, ensure_ascii=False),
    "events of an HTTP stream": "".join(f"event: flow\ndata: {json.dumps(one)}\n\n" for one in OBJECTS),
}


def _values(pieces):
    return [value for piece in pieces for _, value in piece.values]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_form_gives_the_same_objects(tmp_path, form, packed):
    file = tmp_path / "flows"
    content = FORMS[form].encode()
    file.write_bytes(gzip.compress(content) if packed else content)
    found = list(reading.pieces(file, 2))
    assert _values(found) == OBJECTS
    assert [len(piece.values) for piece in found] == [2, 2, 1]
    assert not any(piece.bad for piece in found)
    assert found[-1].consumed == file.stat().st_size


def test_digest_is_of_the_lines_however_they_are_packed(tmp_path):
    plain, packed, other = (tmp_path / name for name in ("a", "b", "c"))
    plain.write_text(FORMS["lines"])
    packed.write_bytes(gzip.compress(FORMS["lines"].encode()))
    other.write_text(FORMS["lines"].replace("1", "7"))
    digests = [[piece.digest for piece in reading.pieces(file)] for file in (plain, packed, other)]
    assert digests[0] == digests[1] != digests[2]


BAD = {
    "no JSON": ('{"a": 1}\nnonsense\n{"a": 2}', 2, "Expecting value"),
    "cut": ('{"a": 1}\n{"a": \n{"a": 2}', 2, "Expecting value"),
    "not UTF-8": (b'{"a": 1}\n{"a": "\xff"}\n{"a": 2}', 2, "not UTF-8"),
    "deep": ('{"a": 1}\n' + "[" * 200_000 + '\n{"a": 2}', 2, "nested too deeply"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_line_costs_only_itself(tmp_path, case):
    content, line, reason = BAD[case]
    file = tmp_path / "flows"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    (piece,) = reading.pieces(file)
    assert [value for _, value in piece.values] == [{"a": 1}, {"a": 2}]
    ((at, why),) = piece.bad
    assert (at, reason in why) == (line, True)


def test_array_that_breaks_off_says_where(tmp_path):
    file = tmp_path / "flows"
    file.write_text('[\n{"a": 1},\n{"a": 2},\n{"a": ')
    (piece,) = reading.pieces(file)
    assert piece.values == [(2, {"a": 1}), (3, {"a": 2})]
    assert piece.bad == [(4, "no JSON from here on, or it breaks off")]


def test_empty_file_has_no_piece(tmp_path):
    file = tmp_path / "flows"
    for content in ("", "\n\n", "[]", "  "):
        file.write_text(content)
        assert list(reading.pieces(file)) == []


def test_truncated_gzip_is_said(tmp_path):
    file = tmp_path / "flows.gz"
    file.write_bytes(gzip.compress(FORMS["lines"].encode())[:-12])
    with pytest.raises(errors.SetupError, match="breaks off"):
        list(reading.pieces(file))


def test_damaged_gzip_is_said(tmp_path):
    file = tmp_path / "flows.gz"
    file.write_bytes(gzip.compress(FORMS["lines"].encode())[:10] + b"\xff" * 40)
    with pytest.raises(errors.SetupError, match="cannot be decompressed"):
        list(reading.pieces(file))


def test_what_cannot_be_read_is_said(tmp_path):
    with pytest.raises(errors.SetupError, match="No such file"):
        list(reading.pieces(tmp_path / "absent"))
    with pytest.raises(errors.SetupError, match="is a folder"):
        list(reading.pieces(tmp_path))


def test_standard_input(monkeypatch):
    class Stdin:
        buffer = io.BytesIO(gzip.compress(FORMS["array"].encode()))

    monkeypatch.setattr(sys, "stdin", Stdin())
    assert _values(reading.pieces(reading.STDIN)) == OBJECTS


def test_endless_line_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_LONGEST", 200_000)
    file = tmp_path / "flows"
    for beginning in ('{"a": 1}\n{"b": "', '[{"a": 1},\n{"b": "'):
        file.write_text(beginning + "x" * 1_000_000)
        with pytest.raises(errors.SetupError, match="line 2: no JSON of"):
            list(reading.pieces(file))


@pytest.mark.parametrize("form", ["lines", "array"])
def test_memory_is_that_of_a_piece(tmp_path, form):
    file = tmp_path / "flows"
    line = json.dumps({"a": "x" * 400})
    lines = "\n".join([line] * 50_000) if form == "lines" else f"[{','.join([line] * 50_000)}]"
    file.write_text(lines)
    tracemalloc.start()
    count = sum(len(piece.values) for piece in reading.pieces(file, 1000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 50_000
    assert peak < 5_000_000
