from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

import hostile
import hypothesis
import numpy as np
import pyarrow as pa
import pytest

from lab import ledger as imagined
from model import columns
from store import chdb, counting, filters, losses, parameters, queries, transport

Build = Callable[..., pa.RecordBatch]
SECOND = 1_000_000_000


@pytest.fixture
def span(hour: int) -> queries.Span:
    return queries.Span(hour, hour + 3600 * SECOND)


def test_summary_counts_connections_by_verdict(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, completeness: Build, span: queries.Span
) -> None:
    ledger.insert(
        "flows", flows({}, {"connections_started": 0}, {"verdict": "denied"}, {"verdict": "unknown"})
    )
    ledger.insert("completeness", completeness({"observed": 98, "lost": 2, "discarded": 7, "incomplete": 7}))
    assert queries.summary(reader, span) == queries.Summary(
        flows=3, allowed=1, denied=1, unknown=1, bytes=600, completeness=0.98, lost=2, discarded=7
    )  # fmt: skip


def test_empty_ledger_has_empty_answers(reader: transport.Transport, span: queries.Span) -> None:
    assert queries.summary(reader, span).completeness == 1.0
    assert queries.bounds(reader) is None
    for ask in (queries.timeline, queries.edges, queries.graph, queries.flows, queries.nodes,
                queries.newly_denied):  # fmt: skip
        assert ask(reader, span).num_rows == 0


def test_connection_over_two_nodes_counts_once(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, completeness: Build, span: queries.Span
) -> None:
    over = {"node": "a", "reporter": "src", "dst_node": "b"}
    back = {"node": "b", "reporter": "dst", "src_node": "a"}
    ledger.insert("flows", flows(over, back, {**over, "verdict": "denied"}, {**over, "dst_node": "silent"}))
    assert queries.summary(reader, span).flows == 4
    ledger.insert("completeness", completeness({"node": "a"}, {"node": "b"}))
    assert queries.summary(reader, span).flows == 3
    assert queries.flows(reader, span).num_rows == 4


def test_peer_silent_in_that_hour_does_not_count(
    ledger: chdb.Embedded, flows: Build, completeness: Build, hour: int, span: queries.Span
) -> None:
    ledger.insert("flows", flows({"node": "a", "reporter": "src", "dst_node": "b"}))
    ledger.insert("completeness", completeness({"node": "b", "time": hour - SECOND}))
    assert queries.summary(ledger, span).flows == 1


def test_span_excludes_its_end(ledger: chdb.Embedded, flows: Build, hour: int) -> None:
    ledger.insert("flows", flows({"time": hour}, {"time": hour + 5}))
    assert queries.flows(ledger, queries.Span(hour, hour + 5)).num_rows == 1
    assert queries.bounds(ledger) == queries.Span(hour, hour + 6)


def test_timeline_has_a_row_for_bucket_and_verdict(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, hour: int, span: queries.Span
) -> None:
    later = hour + 61 * SECOND
    ledger.insert("flows", flows({}, {"verdict": "denied"}, {"time": later}, {"time": later}))
    table = queries.timeline(reader, span, bucket_seconds=60)
    rows = [
        tuple(row.values()) for row in table.set_column(0, "time", table["time"].cast(pa.int64())).to_pylist()
    ]
    assert rows == [
        (hour, "allowed", 1, 150), (hour, "denied", 1, 150), (hour + 60 * SECOND, "allowed", 2, 300),
    ]  # fmt: skip


def test_edges_are_grouped_and_named(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, hour: int, span: queries.Span
) -> None:
    outside = {
        "dst_kind": "public",
        "dst_namespace": "",
        "dst_workload": "",
        "dst_pod": "",
        "ingress_action": "",
        "egress_action": "deny",
        "verdict": "denied",
        "attribution": "nflog",
    }
    ledger.insert(
        "flows",
        flows(
            {},
            {"src_pod": "web-2", "src_address": "10.0.0.9", "time": hour + 9},
            {**outside, "dst_address": "192.0.2.1"},
            {**outside, "dst_address": "2001:db8::7", "protocol": 17},
        ),
    )
    rows = queries.edges(reader, span).to_pylist()
    assert [(r["src"], r["dst"], r["protocol"], r["direction"], r["connections"]) for r in rows] == [
        ("shop/web", "shop/cart", "TCP", "ingress", 2),
        ("shop/web", "192.0.2.1", "TCP", "egress", 1),
        ("shop/web", "2001:db8::7", "UDP", "egress", 1),
    ]
    assert (rows[0]["packets"], rows[0]["bytes"]) == (10, 300)
    assert queries.edges(reader, span, limit=1).num_rows == 1


def _staged(direction: str, rule: int = 0, action: str = "deny") -> dict[str, object]:
    hit = f"{direction}|default|snp:shop/{direction}|{action}|{rule}"
    return {"pending_trace": f"{direction}|a|gnp:x|pass|0 {hit}", "pending_verdict": "denied"}


def test_newly_denied_is_what_staged_policies_would_deny(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, hour: int, span: queries.Span
) -> None:
    ledger.insert("flows", flows(
        _staged("ingress"),
        _staged("ingress") | {"src_pod": "web-2", "src_address": "10.0.0.9", "time": hour + 9},
        _staged("ingress", 1), _staged("egress") | {"dst_port": 53, "protocol": 17},
        _staged("ingress") | {"verdict": "denied"}, _staged("ingress") | {"pending_verdict": "allowed"}, {},
        _staged("ingress") | {"time": span.end},
    ))  # fmt: skip
    found = queries.newly_denied(reader, span)
    rows = found.set_column(
        found.column_names.index("last_seen"), "last_seen", found["last_seen"].cast(pa.int64())
    ).to_pylist()
    names = ("dst_port", "protocol", "direction", "pending_rule", "connections")
    assert [tuple(row[name] for name in names) for row in rows] == [
        (80, "TCP", "ingress", "ingress|default|snp:shop/ingress|deny|0", 2),
        (53, "UDP", "egress", "egress|default|snp:shop/egress|deny|0", 1),
        (80, "TCP", "ingress", "ingress|default|snp:shop/ingress|deny|1", 1),
    ]  # fmt: skip
    assert (rows[0]["src"], rows[0]["dst"], rows[0]["last_seen"]) == ("shop/web", "shop/cart", hour + 9)
    assert {(r["verdict"], r["pending_verdict"]) for r in rows} == {("allowed", "denied")}
    assert queries.newly_denied(reader, span, limit=1).num_rows == 1


def test_newly_denied_hears_the_nodes_of_both_ends(
    ledger: chdb.Embedded, flows: Build, completeness: Build, span: queries.Span
) -> None:
    """The source's report counts nowhere else where the destination's node reports."""
    over = {"node": "a", "reporter": "src", "dst_node": "b", **_staged("egress")}
    back = {"node": "b", "reporter": "dst", "src_node": "a", **_staged("ingress")}
    ledger.insert("flows", flows(over, back))
    ledger.insert("completeness", completeness({"node": "a"}, {"node": "b"}))
    assert queries.newly_denied(ledger, span).column("direction").to_pylist() == ["egress", "ingress"]
    assert queries.newly_denied(ledger, span).column("connections").to_pylist() == [1, 1]


def test_newly_denied_follows_corrections(ledger: chdb.Embedded, flows: Build, span: queries.Span) -> None:
    """Of a row that is taken back nothing is left, even before it is gone."""
    taken = flows(_staged("ingress") | {"correction": "taken_back"})
    for at, field in enumerate(taken.schema):
        if columns.BY_NAME[field.name].rollup is columns.Rollup.SUM:
            negated = columns.array(-columns.numbers(taken.column(at)), pa.uint64())
            taken = taken.set_column(at, field, negated)
    again = _staged("ingress") | {"correction": "named_again", "dst_workload": "late"}
    for batch in (flows(_staged("ingress")), taken, flows(again)):
        ledger.insert("flows", batch)
    found = queries.newly_denied(ledger, span).to_pylist()
    assert [(row["dst"], row["connections"]) for row in found] == [("shop/late", 1)]


@pytest.mark.parametrize(
    ("end", "name"),
    [
        ({}, "shop/cart"),
        ({"dst_workload": ""}, "shop/cart-1"),
        ({"dst_kind": "node", "dst_namespace": "", "dst_workload": "node-7", "dst_pod": ""}, "node-7"),
        ({"dst_kind": "private", "dst_namespace": "", "dst_workload": "", "dst_pod": ""}, "10.0.0.2"),
    ],
    ids=["workload", "bare pod", "node", "address"],
)
def test_end_has_one_name_everywhere(
    ledger: chdb.Embedded, flows: Build, span: queries.Span, end: dict[str, object], name: str
) -> None:
    ledger.insert("flows", flows(end))
    for ask in (queries.edges, queries.flows):
        assert ask(ledger, span).column("dst").to_pylist() == [name]
    mapped = "private" if name == "10.0.0.2" else name
    assert queries.graph(ledger, span).column("dst").to_pylist() == [mapped]


def test_graph_ignores_ports(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, span: queries.Span
) -> None:
    ledger.insert("flows", flows({}, {"dst_port": 443}, {"verdict": "denied"}))
    rows = queries.graph(reader, span).select(["src", "dst", "verdict", "connections", "bytes"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("shop/web", "shop/cart", "allowed", 2, 300), ("shop/web", "shop/cart", "denied", 1, 150),
    ]  # fmt: skip


def test_flows_have_every_column_newest_first(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, hour: int, span: queries.Span
) -> None:
    ledger.insert("flows", flows(*({"time": hour + n, "node": f"n{n}"} for n in range(1, 4))))
    table = queries.flows(reader, span, limit=2)
    assert table.column_names == [*(c.name for c in columns.COLUMNS), "src", "dst", "id"]
    assert table.column("node").to_pylist() == ["n3", "n2"]
    assert queries.flows(reader, span, limit=1, descending=False).column("node").to_pylist() == ["n1"]


def test_rows_of_one_connection_have_one_id(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, hour: int, span: queries.Span
) -> None:
    first = {"time": hour + 5, "started": hour, "verdict": "denied"}
    ledger.insert(
        "flows", flows(first, {**first, "time": hour + 6}, {**first, "src_port": 7}, {**first, "node": "n9"})
    )
    newest, *others = queries.flows(reader, span).select(["id", "time"]).to_pylist()
    assert sorted(others.count(one) for one in others) == [1, 1, 1]
    assert [one["id"] for one in others].count(newest["id"]) == 1
    (found,) = queries.flow(reader, span, newest["id"]).to_pylist()
    assert (found["id"], found["time"]) == (newest["id"], newest["time"])
    assert not queries.flow(reader, span, "' OR 1").num_rows


def test_since_splits_no_moment(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, hour: int
) -> None:
    ledger.insert("flows", flows({"time": hour}, {"time": hour + 1}, {"time": hour + 1}, {"time": hour + 2}))
    assert queries.since(reader, hour, limit=1).num_rows == 2
    assert queries.since(reader, hour + 1).num_rows == 1


def test_condition_reaches_every_answer(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, hour: int, span: queries.Span
) -> None:
    ledger.insert("flows", flows({}, {"verdict": "denied", "dst_port": 443, "connections_started": 5}))
    only = filters.compile("verdict = denied and port = 443 and protocol = tcp and time > 2020-01-01")
    assert queries.summary(reader, span, only).flows == 5
    for ask in (queries.timeline, queries.edges, queries.graph, queries.flows):
        assert ask(reader, span, only).column("verdict").to_pylist() == ["denied"]
    assert queries.since(reader, hour, only).num_rows == 1


def test_nodes_say_what_they_lost(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, completeness: Build, span: queries.Span
) -> None:
    ledger.insert("flows", flows({"node": "a"}, {"node": "a"}))
    ledger.insert("completeness", completeness({"node": "a", "lost": 3}, {"node": "b", "observed": 0}))
    rows = queries.nodes(reader, span).select(["node", "observed", "lost"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [("a", 1, 3), ("b", 0, 0)]


MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
ALWAYS = (("flows_day", 0), ("flows_hour", 0), ("flows_minute", 0))
"""Levels that make any span worth a look at the rollups."""


@pytest.fixture
def five_hours(ledger: chdb.Embedded, completeness: Build, hour: int) -> chdb.Embedded:
    """Flows of a cluster at any moment of five hours; not every node says in every hour that it reports."""
    shape = imagined.Shape(pods=40, nodes=4, workloads=6, namespaces=3, outside=9, interval_seconds=2400)
    chance = np.random.default_rng(7)
    for batch in imagined.Cluster(5, shape, start=hour).batches(9000, 3000, a_second=1):
        times = columns.numbers(batch.column("time")) - chance.integers(0, 2400 * SECOND, len(batch))
        at = batch.schema.get_field_index("time")
        ledger.insert(
            "flows", batch.set_column(at, batch.schema.field(at), columns.array(times, columns.TIME))
        )
    said = [{"node": f"node-{n}", "time": hour + h * HOUR + 5} for n in range(4) for h in range(5) if n != h]
    ledger.insert("completeness", completeness(*said))
    return ledger


CONDITIONS = [
    "",
    "verdict = denied",
    "src.namespace = team-1 and not dst.port in (53, 443)",
    "dst.workload contains service and protocol = tcp",
    "node = node-1 or service = service-2",
    "reporter = src and verdict != denied",
    "kind = public",
    "labels_id > 4611686018427387904",
]


@pytest.mark.parametrize("text", CONDITIONS)
def test_rollups_answer_as_the_flows_do(
    five_hours: chdb.Embedded, hour: int, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Spans that begin and end with a day, an hour, a minute, or anywhere."""
    chance, condition = random.Random(text), filters.compile(text)
    for unit in (DAY, HOUR, MINUTE, 1):
        early, late = (-2, 4) if unit == DAY else (-HOUR // unit, 6 * HOUR // unit)
        ends = sorted(chance.sample(range(early, late), 2))
        span = queries.Span(*(hour + end * unit for end in ends))
        answers = []
        for levels in ((), ALWAYS):
            monkeypatch.setattr(counting, "LEVELS", levels)
            answers.append(_everything(five_hours, span, condition))
        assert answers[0] == answers[1]


def _everything(ledger: chdb.Embedded, span: queries.Span, condition: filters.Condition) -> list[object]:
    return [
        queries.summary(ledger, span, condition),
        *(queries.timeline(ledger, span, condition, bucket).to_pylist() for bucket in (10, 60, 3600)),
        queries.edges(ledger, span, condition).to_pylist(),
        queries.edges(ledger, span, condition, limit=7).to_pylist(),
        queries.graph(ledger, span, condition).to_pylist(),
        queries.nodes(ledger, span).to_pylist(),
    ]


def test_rollups_are_read_for_long_spans(five_hours: chdb.Embedded, hour: int) -> None:
    """With the flows themselves gone, whole hours are still there."""
    five_hours.command("TRUNCATE TABLE flows", {})
    assert queries.summary(five_hours, queries.Span(hour, hour + 4 * HOUR)).flows > 1000
    assert queries.summary(five_hours, queries.Span(hour, hour + HOUR)).flows == 0
    found = queries.bounds(five_hours)
    assert found is not None
    assert found.start == hour


@dataclasses.dataclass
class Listening:
    """A ledger that keeps the statements it is given."""

    ledger: chdb.Embedded
    heard: list[str] = dataclasses.field(default_factory=list)

    def query(self, sql: str, values: parameters.Parameters) -> pa.Table:
        self.heard.append(sql)
        return self.ledger.query(sql, values)


@pytest.mark.parametrize("field", ["src.namespace", "verdict", "dst.address", "label.{}", "rule", "pod"])
def test_nothing_typed_gets_into_a_statement(ledger: chdb.Embedded, hour: int, field: str) -> None:
    """Whatever the value, the statements are those for any other value."""
    span = queries.Span(hour - DAY, hour + DAY)

    def said(value: str) -> list[str]:
        listening = Listening(ledger)
        name = field.format("app")
        condition = filters.compile(f"{name} = {hostile.quoted(value)} or {name} != 'x'")
        for ask in (queries.summary, queries.timeline, queries.edges, queries.graph, queries.flows):
            assert hostile.SECRET not in str(ask(listening, span, condition))  # type: ignore[operator]
        queries.since(listening, hour, condition)  # type: ignore[arg-type]
        return listening.heard

    if field in ("verdict", "dst.address"):
        with pytest.raises(filters.errors.FilterError):
            said("' OR 1=1 --")
        return
    usual = said("plain")

    @hypothesis.settings(max_examples=15, deadline=None)
    @hypothesis.given(hostile.TEXT)
    def check(value: str) -> None:
        assert said(value) == usual

    with hostile.canary(ledger):
        check()


def test_dropped_days_show_where_they_are_missed(
    ledger: chdb.Embedded, completeness: Build, hour: int
) -> None:
    said = [
        {"observed": 90},
        {"source": "retention", "note": "flows", "observed": 0, "discarded": 10, "node": ""},
    ]
    ledger.insert("completeness", completeness(*said))
    long = queries.Span(hour, hour + 4 * HOUR)
    assert queries.summary(ledger, long).completeness == 1.0
    raw = queries.summary(ledger, long, filters.compile("src.port = 1"))
    assert (raw.completeness, raw.discarded) == (0.9, 10)
    shares = {
        ask: losses.attached(queries.stated(ask, ledger, long, **wanted)).share
        for ask, wanted in (
            (queries.edges, {}), (queries.flows, {}), (queries.timeline, {"bucket_seconds": 90}),
        )
    }  # fmt: skip
    assert list(shares.values()) == [1.0, 0.9, 0.9]
    assert queries.nodes(ledger, long).column("node").to_pylist() == ["n"]


def test_completeness_says_where(
    reader: transport.Transport, ledger: chdb.Embedded, completeness: Build, hour: int
) -> None:
    ledger.insert(
        "completeness",
        completeness(
            {"node": "a", "observed": 900},
            {"node": "a", "source": "conntrack", "observed": 50, "lost": 40, "note": "full"},
            {"node": "b", "observed": 0, "lost": 5, "discarded": 5},
            {"node": "b", "observed": 0, "incomplete": 6},
            {"node": "a", "source": "counters", "observed": 10**6},
            {"node": "", "source": "retention", "observed": 0, "discarded": 7, "note": "flows_hour"},
        ),
    )
    found = queries.completeness(reader, queries.Span(hour, hour + 60 * SECOND))
    assert (found.observed, found.missing, found.lost, found.discarded) == (950, 44, 45, 5)
    assert [(loss.node, loss.source, loss.lost, loss.discarded, loss.note) for loss in found.losses] == [
        ("a", "conntrack", 40, 0, "full"), ("b", "nflog", 5, 5, ""),
    ]  # fmt: skip
    assert queries.completeness(reader, queries.Span(0, 1)) == losses.Completeness()


@pytest.mark.parametrize("ask", [queries.timeline, queries.edges, queries.graph, queries.flows])
def test_any_answer_states_its_completeness(
    ledger: chdb.Embedded,
    flows: Build,
    completeness: Build,
    span: queries.Span,
    ask: Callable[..., pa.Table],
) -> None:
    ledger.insert("flows", flows({}))
    ledger.insert("completeness", completeness({"observed": 3, "lost": 1}))
    answer = queries.stated(ask, ledger, span)
    assert answer.equals(ask(ledger, span))
    assert losses.attached(answer) == queries.completeness(ledger, span)
    assert str(losses.attached(answer)) == "75.00 % complete: 1 event lost on n"


def test_ends_of_one_name_are_one_edge_whoever_is_asked_for(
    ledger: chdb.Embedded, flows: Build, span: queries.Span
) -> None:
    bare = {"src_workload": "", "src_pod": "web"}
    ledger.insert("flows", flows({"src_pod": "web-1"}, bare, {"dst_port": 1, "connections_started": 2}))
    assert queries.edges(ledger, span).column("connections").to_pylist() == [2, 2]
    assert queries.edges(ledger, span, limit=10**6).column("connections").to_pylist() == [2, 2]


def test_bounds_hold_what_only_rollups_know(ledger: chdb.Embedded, flows: Build, hour: int) -> None:
    ledger.insert("flows", flows({"time": hour + 5}, {"time": hour + 30 * MINUTE}))
    assert queries.bounds(ledger) == queries.Span(hour + 5, hour + 30 * MINUTE + 1)
    for table, start in (("flows", hour), ("flows_hour", hour)):
        ledger.command(f"TRUNCATE TABLE {table}", {})
        assert queries.bounds(ledger) == queries.Span(start, hour + 30 * MINUTE + 1)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        pytest.param(HOUR + 1, HOUR + DAY, HOUR + 1, id="short"),
        pytest.param(HOUR + 1, HOUR + DAY + 1, HOUR, id="a day"),
        pytest.param(HOUR, 9 * DAY, HOUR, id="full already"),
    ],
)
def test_long_spans_begin_with_a_full_hour(start: int, end: int, expected: int) -> None:
    assert queries.from_full_hour(queries.Span(start, end)) == queries.Span(expected, end)


def test_rules_that_connections_met(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, span: queries.Span
) -> None:
    both = "ingress|a|gnp:x|pass|0 ingress|b|knp:shop/y|allow|1"
    ledger.insert("flows", flows({"policy_trace": both}, {"policy_trace": both}, {"policy_trace": ""}))
    found = queries.rules(reader, span)
    assert {row["hit"]: row["connections"] for row in found.to_pylist()} == {
        "ingress|a|gnp:x|pass|0": 2, "ingress|b|knp:shop/y|allow|1": 2, "": 1
    }  # fmt: skip


def test_what_was_done_to_connections(
    reader: transport.Transport, ledger: chdb.Embedded, flows: Build, span: queries.Span
) -> None:
    ledger.insert("flows", flows(
        {"ingress_action": "allow", "dst_port": 80}, {"ingress_action": "allow", "dst_port": 80},
        {"ingress_action": "deny", "dst_port": 81}, {"connections_started": 0, "dst_port": 82},
    ))  # fmt: skip
    found = queries.judged(reader, span)
    names = ("dst_port", "ingress_action", "connections")
    assert list(zip(*(found.column(name).to_pylist() for name in names), strict=True)) == [
        (80, "allow", 2), (81, "deny", 1)
    ]  # fmt: skip
    assert queries.judged(reader, span, limit=1).num_rows == 1
