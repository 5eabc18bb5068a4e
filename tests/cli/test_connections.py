"""What was said of connections when they began."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from cli import connections
from collector import traces

Build = Callable[..., pa.RecordBatch]
ONE, OTHER, NOTHING = traces.Trace(text="one"), traces.Trace(text="other"), traces.Trace()


def _keys(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array(numbers, np.uint64)


def test_is_as_a_dictionary() -> None:
    dice, known = np.random.default_rng(1), {}
    kept = connections.Connections()
    for _ in range(50):
        asked = np.unique(dice.integers(0, 2_000, 100)).astype(np.uint64)
        found = kept.find(asked)
        texts = [kept.traces[i].text if i >= 0 else None for i in found.tolist()]
        assert texts == [known.get(key) for key in asked.tolist()]
        new = found < 0
        codes = dice.integers(0, 3, new.sum()).astype(np.int32)
        kept.add(asked[new], codes, [ONE, OTHER, NOTHING])
        told = [("one", "other", None)[code] for code in codes.tolist()]
        known |= {key: text for key, text in zip(asked[new].tolist(), told, strict=True) if text}


def test_longest_unheard_of_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_MOST", 3)
    kept = connections.Connections()
    for key in (1, 2, 3, 4):
        kept.find(_keys(key))
        kept.add(_keys(key), np.zeros(1, np.int32), [ONE])
    kept.seen(_keys(1))
    assert (kept.find(_keys(1, 2, 3, 4)) >= 0).tolist() == [True, False, False, True]


def test_too_many_traces_are_forgotten_with_all_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_MOST_TRACES", 1)
    kept = connections.Connections()
    kept.add(_keys(1, 2), np.array([0, 1], np.int32), [ONE, OTHER])
    assert kept.find(_keys(1, 2)).tolist() == [-1, -1]
    assert kept.add(_keys(1), np.zeros(1, np.int32), [ONE]).tolist() == [0]


@pytest.mark.parametrize(
    "other",
    [{"src_port": 1}, {"dst_port": 1}, {"protocol": 17}, {"src_address": "10.0.0.9"}, {"started": 1},
     {"dst_pod": "other"}, {"dst_labels_id": 7}, {"reporter": "src"}],
    ids=lambda other: next(iter(other)),
)  # fmt: skip
def test_connections_are_told_apart(flows: Build, other: dict[str, object]) -> None:
    one, same, another = connections.keys(flows({}, {}, other)).tolist()
    assert one == same != another
