from __future__ import annotations

import re
from collections.abc import Callable

import hostile
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model import columns, errors
from store import chdb, ddl, fields, filters


def _mistake(text: str) -> errors.FilterError | None:
    try:
        filters.compile(text)
    except errors.FilterError as error:
        return error
    return None


@given(st.text())
def test_any_text_compiles_or_is_a_filter_error(text: str) -> None:
    error = _mistake(text)
    assert error is None or (0 <= error.position <= len(text) and "expected" in error.reason)


_PIECES = st.sampled_from(
    [
        "src.namespace",
        "port",
        "label.app",
        "src.label.",
        "dst.address",
        "time",
        "protocol",
        "verdict",
        "=",
        "!=",
        "<",
        ">=",
        "in",
        "not",
        "and",
        "or",
        "(",
        ")",
        ",",
        "contains",
        "tcp",
        "80",
        "denied",
        "10.0.0.0/8",
        "'a'",
        '"',
        "2026-01-01",
    ]
)


@given(st.lists(_PIECES, max_size=12))
def test_any_words_compile_or_are_a_filter_error(pieces: list[str]) -> None:
    error = _mistake(" ".join(pieces))
    assert error is None or "expected" in error.reason


@given(st.text(min_size=1), st.sampled_from(["src.namespace", "pod", "rule", "src.label.app", "label.x"]))
def test_value_is_bound_and_never_pasted(value: str, field: str) -> None:
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    condition = filters.compile(f"{field} = '{quoted}'")
    assert value in condition.parameters.values()
    assert condition.sql == filters.compile(f"{field} = 'another'").sql


_PLACES = st.sampled_from(
    [
        "src.namespace = {}",
        "pod != {}",
        "rule contains {}",
        "src.label.app = {}",
        "label.x not in ({}, {})",
        "dst.workload in (web, {})",
        "not (verdict = denied or node = {})",
        "service = {} and port = 80",
    ]
)
"""Where any text may stand."""

_CLOSED = [
    "verdict",
    "reporter",
    "dst.kind",
    "address",
    "src.port",
    "protocol",
    "time",
    "connections_started",
]
"""Fields that take some values only."""

_PASTED = re.compile(
    r"\{p\d+:(String|IPv6|Int64|UInt8|UInt16|UInt64)\}|\b(AND|OR|NOT|IN|GLOBAL|SELECT|FROM|WHERE|label_sets|labels_id|labels|"
    r"position|fromUnixTimestamp64Nano)\b|'UTC'|[()\[\]<>=!, ]|(?<![{\w])0(?!\w)"
)
"""All that a condition is made of, besides names of columns."""


def _is_made_of_our_own_words(sql: str) -> bool:
    rest = re.sub(r"\w+", lambda word: "" if word[0] in columns.BY_NAME else word[0], _PASTED.sub(" ", sql))
    return not rest.strip()


@given(_PLACES, hostile.TEXT)
def test_condition_is_the_same_for_any_value(place: str, value: str) -> None:
    condition = filters.compile(place.replace("{}", hostile.quoted(value)))
    assert condition.sql == filters.compile(place.replace("{}", "plain")).sql
    assert value in condition.parameters.values()


@given(st.sampled_from(["src.label.", "label."]), hostile.TEXT)
def test_condition_is_the_same_for_any_label(side: str, name: str) -> None:
    word = re.sub(r"[\s'\"=!<>(),]", "", name) or "x"
    condition = filters.compile(f"{side}{word} = web")
    assert condition.sql == filters.compile(f"{side}app = web").sql
    assert word in condition.parameters.values()


@given(st.sampled_from(["src.label.", "label."]), hostile.TEXT)
def test_condition_is_the_same_for_any_label_in_quotes(side: str, name: str) -> None:
    condition = filters.compile(f"{side}{hostile.quoted(name or 'x')} = web")
    assert condition.sql == filters.compile(f"{side}app = web").sql
    assert (name or "x") in condition.parameters.values()


@given(st.sampled_from(_CLOSED), hostile.TEXT)
def test_closed_field_takes_no_other_text(field: str, value: str) -> None:
    text = f"{field} in ({hostile.quoted(value)})" if field != "time" else f"time > {hostile.quoted(value)}"
    error = _mistake(text)
    assert error or _is_made_of_our_own_words(filters.compile(text).sql)
    assert error or not any(sign in value for sign in "'\\;`")


@given(st.lists(st.one_of(hostile.TEXT, _PIECES), max_size=8))
def test_statement_has_no_words_but_ours(pieces: list[str]) -> None:
    """Whatever is typed, in quotes or not, and wherever."""
    text = " ".join(pieces)
    assert _mistake(text) or _is_made_of_our_own_words(filters.compile(text).sql or "1") or not text.strip()


def test_our_own_words_are_told_from_others() -> None:
    assert _is_made_of_our_own_words(
        filters.compile("time > 2026-01-01 and label.a contains b or port = 1").sql
    )
    for strange in ("src_pod = 'x'", "1 OR 1", "src_pod = {p0:String} OR canary = 1", "throwIf(1)"):
        assert not _is_made_of_our_own_words(strange)


@given(place=_PLACES, value=hostile.TEXT)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_value_reads_and_changes_nothing_else(ledger: chdb.Embedded, place: str, value: str) -> None:
    condition = filters.compile(place.replace("{}", hostile.quoted(value)))
    with hostile.canary(ledger):
        found = ledger.query(f"SELECT * FROM flows WHERE {condition.sql}", condition.parameters)
    assert hostile.SECRET not in str(found.to_pydict())


@pytest.mark.parametrize("text", ["", "  \n"])
def test_empty_text_means_everything(text: str) -> None:
    assert filters.compile(text) is filters.EVERYTHING


CASES = {
    "src.namespace = shop": ["a", "b"],
    "src_namespace = shop": ["a", "b"],
    "namespace = pay": ["b", "c"],
    "namespace != pay": ["a", "d"],
    "verdict = denied and dst.port in (80, 443)": ["b"],
    "port >= 443": ["b", "c"],
    "port < 443 or protocol = udp": ["a", "d"],
    "protocol = 17": ["d"],
    "protocol in (UDP, icmp)": ["d"],
    "not dst.address in 10.0.0.0/8": ["c", "d"],
    "dst.address not in (10.0.0.0/8, 2001:db8::/32)": ["d"],
    "address = 2001:db8::7": ["c"],
    "src.label.app = web": ["a"],
    "label.app = cart": ["b"],
    "label.'app' = cart": ["b"],
    'src.label."app.kubernetes.io/name" = front': ["a"],
    "dst.label.\"a'p\" = cart": [],
    "src.label.app.kubernetes.io/name contains ront": ["a"],
    "src.label.app != web": ["b", "c", "d"],
    "dst.workload contains 'ar'": ["a", "b"],
    "workload = cart and not (port = 443 or verdict = denied)": ["a"],
    "reporter = dst": ["d"],
    "rule contains \"knp:pay/\"": ["b"],
    "src.pod = 'web-1'": ["a", "b", "c"],
    "NOT verdict = allowed AND namespace = shop": ["b"],
    "time < 2026-01-01T00:00:02Z": ["a", "b", "c"],
    "not not port = 80": ["a"],
    "dst.kind = public": ["d"],
    "node in in": [],
    "node not in (not, in, and)": ["a", "b", "c", "d"],
    "node in(a,b)and(port=80)": ["a"],
}  # fmt: skip


@pytest.mark.parametrize("text", CASES, ids=CASES.keys())
def test_filter_finds_its_rows(
    text: str, ledger: chdb.Embedded, flows: Callable[..., pa.RecordBatch], hour: int
) -> None:
    ledger.insert(
        "flows",
        flows(
            {"node": "a", "src_labels_id": 1},
            {
                "node": "b",
                "dst_namespace": "pay",
                "dst_port": 443,
                "verdict": "denied",
                "dst_labels_id": 2,
                "deciding_rule": "ingress|default|knp:pay/cart|deny|0",
            },
            {
                "node": "c",
                "src_namespace": "pay",
                "dst_port": 8443,
                "dst_address": "2001:db8::7",
                "dst_workload": "db",
            },
            {
                "node": "d",
                "src_namespace": "",
                "src_pod": "",
                "dst_namespace": "",
                "dst_workload": "",
                "dst_pod": "",
                "dst_kind": "public",
                "dst_address": "192.0.2.1",
                "protocol": 17,
                "dst_port": 53,
                "reporter": "dst",
                "time": hour + 3_000_000_000,
            },
        ),
    )
    sets = [(1, [("app", "web"), ("app.kubernetes.io/name", "front")]), (2, [("app", "cart")])]
    ledger.insert(
        "label_sets",
        pa.Table.from_pylist(
            [{"labels_id": number, "labels": labels} for number, labels in sets], schema=ddl.LABEL_SETS
        ),
    )
    condition = filters.compile(text)
    found = ledger.query(
        f"SELECT toString(node) AS n FROM flows WHERE {condition.sql} ORDER BY n", condition.parameters
    )
    assert found.column("n").to_pylist() == CASES[text]


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("shop", 0, "there is no 'shop'"),
        ("verdict", 7, "expected one of `=`, `!=`, `contains`, `in`, `not in` after verdict"),
        ("verdict = dropped", 10, "one of allowed, denied, unknown"),
        ("verdict < denied", 8, "expected one of"),
        ("port = 65536", 7, "a whole number up to 65535"),
        ("port = ", 7, "expected a value"),
        ("port in (80 443)", 12, "expected `,` or `)`"),
        ("port not 80", 9, "expected `in`"),
        ("address = shop", 10, "an address or a CIDR"),
        ("protocol = http", 11, "one of icmp, tcp"),
        ("time > yesterday", 7, "a time such as"),
        ("time > 9999-01-01", 7, "between 1970 and 2262"),
        ("src.label. = x", 0, "the name of a label"),
        ("port = 80 port = 81", 10, "`and`, `or` or the end"),
        ("(port = 80", 10, "expected `)`, `and` or `or`"),
        ("pod = 'web", 6, "is a quote not closed"),
        ("(" * 51 + "port = 1" + ")" * 51, 51, "at most 50 levels"),
        ("not " * 51 + "port = 1", 204, "at most 50 levels"),
        ("src.namespce = x", 0, "there is no 'src.namespce': did you mean src.namespace?"),
        ("dst_prot = 80", 0, "there is no 'dst_prot': did you mean dst.port?"),
        ("port = 80 and", 13, "expected a field such as src.namespace, `not` or `(`"),
        (") port = 80", 0, "expected a field"),
        ("port in ()", 9, "expected a value"),
        ("port in (80", 11, "expected `,` or `)`"),
        ("port = (80)", 7, "expected a value"),
        ("port not in", 11, "expected a value or `(`"),
        ("port ! 80", 5, "expected one of `=`"),
        ("address = fe80::1%eth0", 10, "an address"),
    ],
)
def test_mistake_is_placed_and_explained(text: str, position: int, reason: str) -> None:
    with pytest.raises(errors.FilterError, match=re.escape(reason)) as caught:
        filters.compile(text)
    assert caught.value.position == position


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        pytest.param("dst.po", ["dst.port", "dst.pod"], id="field"),
        pytest.param("verdict ", ["=", "!=", "contains", "in", "not in"], id="sign"),
        pytest.param("port n", ["not in"], id="sign of a number"),
        pytest.param("port not ", ["in"], id="the rest of a sign"),
        pytest.param("verdict = ", ["allowed", "denied", "unknown"], id="value"),
        pytest.param("verdict in (allowed, d", ["denied"], id="value in a list"),
        pytest.param("verdict in (allowed ", [")", ","], id="after a value in a list"),
        pytest.param("protocol in (T", ["tcp"], id="protocol"),
        pytest.param("(port = 80 ", ["and", "or", ")"], id="after a comparison"),
        pytest.param("pod = x a", ["and"], id="word"),
        pytest.param("pod = ", [], id="any value"),
        pytest.param("nope = ", [], id="no field"),
        pytest.param("port = = ", [], id="mistake"),
        pytest.param("pod = 'x", [], id="open quote"),
    ],
)
def test_what_may_come_next_is_offered(text: str, offered: list[str]) -> None:
    assert filters.candidates(text) == offered


def test_every_field_is_offered_at_first() -> None:
    assert set(filters.candidates("")) == {*fields.FIELDS, "not", "("}
    assert filters.candidates("not (src.label.app = web and ") == filters.candidates("")


def test_every_field_can_be_written() -> None:
    """Each name of FIELDS is known to the parser: the mistake is at the sign, not at the field."""
    for name in fields.FIELDS:
        field = name + "app" if name.endswith(".") else name
        with pytest.raises(errors.FilterError, match="after"):
            filters.compile(field)


@given(st.text(max_size=40))
def test_any_text_can_be_quoted(text: str) -> None:
    condition = filters.compile(f"src.workload = {filters.quoted(text)} and dst.port = 80")
    assert set(condition.parameters.values()) == {text, 80}
    assert condition.columns == {"src_workload", "dst_port"}


@pytest.mark.parametrize(
    "name", ["we'b", 'we"b', "we\\", "\\'", "we b", "a) or (1", "we\nb", "we\u2028b", "wéb"]
)
def test_quoted_name_finds_its_own_rows(
    name: str, ledger: chdb.Embedded, flows: Callable[..., pa.RecordBatch], hour: int
) -> None:
    ledger.insert("flows", flows(*({"src_workload": one, "time": hour} for one in (name, "web", ""))))
    condition = filters.compile(f"src.workload = {filters.quoted(name)}")
    found = ledger.query(f"SELECT src_workload FROM flows WHERE {condition.sql}", condition.parameters)
    assert found.column("src_workload").to_pylist() == [name]
