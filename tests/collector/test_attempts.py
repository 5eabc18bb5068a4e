"""Logged packets as attempts to connect."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from collector import attempts, traces
from collector.nflog import decode

SECOND = 1_000_000_000
LATER = 200 * SECOND
PREFIXES = ["APE0|np/shop/out", "PPI0|np/shop/first", "DPI|default", "API1|np/shop/in", "kernel: "]
OUT, PASS_IN, END_IN, ALLOW_IN, STRANGE = range(5)
TEXTS = {
    OUT: "egress||np:shop/out|allow|0",
    PASS_IN: "ingress||np:shop/first|pass|0",
    END_IN: "ingress|default|end-of-tier|deny|-1",
    ALLOW_IN: "ingress||np:shop/in|allow|1",
}
Build = Callable[..., decode.Packets]


class Reader:
    """A log of attempts, and what their traces say."""

    def __init__(self) -> None:
        self.codes = traces.Traces({})
        self.log = attempts.Log(self.codes)

    def take(self, packets: decode.Packets, until: int = LATER) -> attempts.Attempts:
        self.log.add(packets, PREFIXES)
        return self.log.take(until)

    def text(self, taken: attempts.Attempts) -> list[str]:
        return self.codes.column(taken["trace"], "text").to_pylist()


@pytest.fixture
def reader() -> Reader:
    return Reader()


def test_retransmitted_syns_are_one_attempt(reader: Reader, packets: Build) -> None:
    sent = [{"prefix": END_IN, "time": (100 + t) * SECOND, "sequence": t} for t in (0, 1, 3)]
    (attempt,) = reader.take(packets(*sent))
    assert (attempt["packets"], attempt["bytes"]) == (3, 180)
    assert (attempt["first"], attempt["last"]) == (100 * SECOND, 103 * SECOND)
    assert attempt["denied"]


def test_another_tcp_sequence_number_is_another_attempt(reader: Reader, packets: Build) -> None:
    taken = reader.take(packets({"prefix": END_IN}, {"prefix": END_IN, "tcp_sequence": 8}))
    assert taken["packets"].tolist() == [1, 1]
    assert len(set(taken["key"])) == 2
    assert len(set(taken["tuple"])) == 1


@pytest.mark.parametrize(
    ("hits", "text"),
    [
        pytest.param([OUT, PASS_IN, END_IN], [OUT, PASS_IN, END_IN], id="as they were met"),
        pytest.param([PASS_IN, END_IN, OUT], [OUT, PASS_IN, END_IN], id="egress first, whatever came first"),
        pytest.param([OUT, END_IN, OUT, END_IN], [OUT, END_IN], id="each once"),
        pytest.param([OUT, STRANGE, ALLOW_IN], [OUT, ALLOW_IN], id="what is no policy's is left out"),
        pytest.param([STRANGE], None, id="no policy at all"),
    ],
)  # fmt: skip
def test_trace(reader: Reader, packets: Build, hits: list[int], text: list[int] | None) -> None:
    """The two groups number their messages apart, so that numbers order the hits of one side only."""
    counted = {True: 0, False: 0}
    rows = []
    for hit in hits:
        rows.append({"prefix": hit, "sequence": counted[hit == OUT]})
        counted[hit == OUT] += 1
    expected = [] if text is None else [" ".join(TEXTS[hit] for hit in text)]
    assert reader.text(reader.take(packets(*rows))) == expected


def test_only_denied_packets_are_counted(reader: Reader, packets: Build) -> None:
    (attempt,) = reader.take(packets({"prefix": OUT, "length": 60}, {"prefix": END_IN, "length": 48}))
    assert (attempt["packets"], attempt["bytes"], bool(attempt["denied"])) == (1, 48, True)
    (attempt,) = reader.take(packets({"prefix": OUT}, {"prefix": ALLOW_IN}))
    assert (attempt["packets"], attempt["bytes"], bool(attempt["denied"])) == (0, 0, False)


def test_later_packets_wait(reader: Reader, packets: Build) -> None:
    sent = packets({"prefix": END_IN, "time": 10 * SECOND}, {"prefix": END_IN, "time": 10 * SECOND + 1})
    assert reader.take(sent, 10 * SECOND)["packets"].tolist() == [1]
    assert reader.take(packets(), 11 * SECOND)["packets"].tolist() == [1]
    assert len(reader.take(packets(), 12 * SECOND)) == 0


def test_packets_that_no_grammar_reads_are_counted(reader: Reader, packets: Build) -> None:
    reader.log.add(packets({}, {}), ["somebody's own: "])
    assert (reader.log.unread, len(reader.log.take(LATER))) == (2, 0)


def test_attempt_starts_once_and_keeps_its_beginning(reader: Reader, packets: Build) -> None:
    found = []
    for t in (100, 103, 110):
        taken = reader.take(
            packets({"prefix": END_IN, "time": t * SECOND}, {"prefix": END_IN, "src_port": t})
        )
        (settled,) = [a for a in reader.log.settle(taken) if a["src_port"] == 40000]
        found.append((bool(settled["started"]), int(settled["first"]) // SECOND))
    assert found == [(True, 100), (False, 100), (False, 100)]


def test_attempt_is_forgotten_two_minutes_after_its_last_packet(reader: Reader, packets: Build) -> None:
    for t, started in ((100, True), (219, False), (219 + 119, False), (338 + 120, True)):
        reader.log.forget(t * SECOND)
        settled = reader.log.settle(reader.take(packets({"prefix": END_IN, "time": t * SECOND}), t * SECOND))
        assert settled["started"].tolist() == [started]


def test_many_attempts_at_once(reader: Reader, packets: Build) -> None:
    """Against counting one by one."""
    numbers = np.random.default_rng(0).integers(0, [20, 3, 4], (500, 3)).tolist()
    rows = [{"src_port": p, "tcp_sequence": s, "prefix": h, "sequence": i}
            for i, (p, s, h) in enumerate(numbers)]  # fmt: skip
    taken = reader.take(packets(*rows))
    expected: dict[tuple[int, int], list[int]] = {}
    for port, sequence, hit in numbers:
        expected.setdefault((port, sequence), []).append(hit)
    naive = sorted(
        (
            port,
            hits.count(END_IN),
            " ".join(TEXTS[h] for h in sorted(dict.fromkeys(hits), key=lambda h: h != OUT)),
        )
        for (port, _), hits in expected.items()
    )
    found = zip(taken["src_port"].tolist(), taken["packets"].tolist(), reader.text(taken), strict=True)
    assert sorted(found) == naive


def test_unmatched_attempts_are_given_up_after_patience() -> None:
    unmatched = attempts.Unmatched()
    unmatched.with_new(np.zeros(2, attempts.ATTEMPT))
    for waiting, given_up in ((2, 0), (2, 0), (0, 2)):
        unmatched.keep(np.ones(len(unmatched.attempts), bool), 1)
        assert (len(unmatched.attempts), unmatched.given_up) == (waiting, given_up)
        unmatched.with_new(np.zeros(0, attempts.ATTEMPT))
