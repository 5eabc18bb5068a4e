import pyarrow as pa

from app.widgets import grid

FLOWS = pa.table(
    {
        "time": pa.array([1, 2], pa.timestamp("ns", "UTC")),
        "src": ["a/x", "a/x"],
        "dst": ["b/y", "10.0.0.1"],
        "dst_port": pa.array([80, 0], pa.uint16()),
        "protocol": pa.array([6, 1], pa.uint8()),
        "verdict": ["denied", "unknown"],
        "deciding_rule": ["ingress|default|end-of-tier|deny|-1", ""],
        "forward_bytes": pa.array([60, 84], pa.uint64()),
        "reverse_bytes": pa.array([0, 16], pa.uint64()),
        "forward_packets": pa.array([1, 1], pa.uint64()),
        "reverse_packets": pa.array([0, 1], pa.uint64()),
        "node": ["n", "n"],
        "reporter": ["dst", "src"],
        "attribution": ["nflog", "none"],
        "pending_verdict": ["", ""],
    }
)


def test_view_says_it_in_words():
    first, second = grid.view(FLOWS).to_pylist()
    assert first["rule"] == "ingress: end of tier default, no policy allowed it"
    assert second["rule"] == "no rule is known"
    assert [row["protocol"] for row in (first, second)] == ["TCP", "ICMP"]


def test_view_adds_both_ways_up():
    assert grid.view(FLOWS).column("bytes").to_pylist() == [60, 100]
    assert grid.view(FLOWS).column("packets").to_pylist() == [1, 2]


def test_view_has_pending_verdicts_where_there_are_any():
    assert "pending" not in grid.view(FLOWS).column_names
    at = FLOWS.schema.get_field_index("pending_verdict")
    some = grid.view(FLOWS.set_column(at, "pending_verdict", pa.array(["", "denied"])))
    assert some.column("pending").to_pylist() == [[], ["denied"]]


def test_view_has_no_port_where_there_is_none():
    assert grid.view(FLOWS).column("port").to_pylist() == [80, None]
