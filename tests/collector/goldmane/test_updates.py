"""Flows as columns: each message's own numbers, by the direction of the connection, and none fatal."""

from __future__ import annotations

import pathlib
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import flowmessages

from collector.goldmane import goldmane_pb2 as pb
from collector.goldmane import keys, updates
from model import enums

COUNTS = (
    "packets_in", "packets_out", "bytes_in", "bytes_out", "num_connections_started",
    "num_connections_completed", "num_connections_live",
)  # fmt: skip
NUMBERS = st.integers(0, 2**63 - 1)


def _times(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64) + 17


def _decode(*messages: bytes) -> tuple[updates.Decoded, keys.Keys]:
    known = keys.Keys()
    return updates.decode_updates(messages, _times(len(messages)), known), known


def test_source_sends_out_what_the_destination_takes_in() -> None:
    """Felix counts into the workload that reports and out of it."""
    sent = [
        flowmessages.update(40, flowmessages.some_key(reporter=reporter))
        for reporter in (enums.Reporter.SRC, enums.Reporter.DST)
    ]
    decoded, known = _decode(*sent)
    assert [known[number].reporter for number in decoded.flows["key"].tolist()] == ["src", "dst"]
    assert decoded.flows["forward_packets"].tolist() == [2, 1]
    assert decoded.flows["reverse_packets"].tolist() == [1, 2]
    assert decoded.flows["forward_bytes"].tolist() == [40, 30]
    assert decoded.flows["reverse_bytes"].tolist() == [30, 40]
    for name, number in (("started", 5), ("ended", 6), ("living", 7)):
        assert decoded.flows[f"connections_{name}"].tolist() == [number, number]


def test_times_are_in_nanoseconds() -> None:
    decoded, _ = _decode(flowmessages.update(start_time=1_700_000_000, end_time=1_700_000_015))
    flow = decoded.flows[0]
    assert (flow["started"], flow["ended"], flow["arrived"]) == (
        1_700_000_000_000_000_000, 1_700_000_015_000_000_000, 17,
    )  # fmt: skip


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["src", "dst"]), st.lists(NUMBERS, min_size=len(COUNTS), max_size=len(COUNTS))
        ),
        max_size=5,
    )
)
def test_flows_are_read_as_a_whole_parse_reads_them(sent: list[tuple[str, list[int]]]) -> None:
    made = [
        flowmessages.flow(
            flowmessages.some_key(reporter=enums.Reporter(reporter)),
            **dict(zip(COUNTS, numbers, strict=True)),
        )
        for reporter, numbers in sent
    ]
    known = keys.Keys()
    one = updates.decode_flows([flow.SerializeToString() for flow in made], _times(len(made)), known)
    other, _ = _decode(*(pb.FlowUpdate(flow=flow).SerializeToString() for flow in made))
    assert (one.malformed, one.error) == (0, "")
    np.testing.assert_array_equal(one.flows, other.flows)
    for row, flow in zip(one.flows, made, strict=True):
        ways = ("out", "in") if flow.Key.reporter == pb.Src else ("in", "out")
        for way, ours in zip(ways, ("forward", "reverse"), strict=True):
            assert row[f"{ours}_packets"] == getattr(flow, f"packets_{way}")
            assert row[f"{ours}_bytes"] == getattr(flow, f"bytes_{way}")
        assert row["connections_living"] == flow.num_connections_live


BROKEN = {
    "half": flowmessages.update()[:100],
    "nothing": b"",
    "noise": b"\xff" * 40,
    "without flow": b"\x10\x01",
    "no reporter": pb.FlowUpdate(flow=pb.Flow(Key=pb.FlowKey(action=pb.Allow))).SerializeToString(),
    "count below zero": flowmessages.update(packets_in=-1),
    "time beyond all": flowmessages.update(start_time=2**62),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_malformed_message_costs_nothing_but_itself(broken: bytes) -> None:
    decoded, known = _decode(flowmessages.update(1), broken, flowmessages.update(3))
    assert decoded.flows["forward_bytes"].tolist() == [1, 3]
    assert decoded.flows["arrived"].tolist() == [17, 19]
    assert decoded.malformed == 1
    assert decoded.error
    assert known[decoded.flows["key"][1]] == flowmessages.some_key()


def test_nothing_at_all_is_no_flows() -> None:
    decoded, _ = _decode()
    assert (len(decoded.flows), decoded.malformed, decoded.error) == (0, 0, "")


@given(st.lists(st.binary(max_size=80), max_size=4))
def test_noise_is_counted(noise: list[bytes]) -> None:
    decoded, _ = _decode(*noise)
    assert len(decoded.flows) + decoded.malformed == len(noise)


@given(st.integers(0, len(flowmessages.update()) - 1), st.integers(0, 255))
def test_a_changed_byte_is_a_flow_or_counted(at: int, byte: int) -> None:
    message = bytearray(flowmessages.update())
    message[at] = byte
    decoded, _ = _decode(bytes(message), flowmessages.update(2))
    assert len(decoded.flows) + decoded.malformed == 2
