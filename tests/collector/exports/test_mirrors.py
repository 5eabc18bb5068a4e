"""Which reports are told twice."""

from collector.exports import mirrors, rows
from model import columns, enums

WEB, CART, DB = (
    rows.End(kind=enums.EndpointKind.POD, namespace="shop", workload=name, port=80)
    for name in ("web", "cart", "db")
)
SRC, DST, BOTH = enums.Reporter.SRC, enums.Reporter.DST, enums.Reporter.BOTH


def _flows(*reports):
    into = rows.Rows(enums.Origin.HUBBLE, lambda _: 0, "")
    for node, reporter, dst, told in reports:
        end = rows.End(
            **{name: getattr(dst, name) for name in ("kind", "namespace", "workload", "port")}, node=told
        )
        into.add(WEB, end, node=node, reporter=reporter, time=1, protocol=6, verdict="allowed")
    return into.batch()


def _filled(known, *reports):
    return known.fill(_flows(*reports)).column("dst_node").to_pylist()


def test_source_names_the_node_that_has_reported():
    known = mirrors.Mirrors("hubble")
    known.learn(_flows(("b", DST, CART, "b"), ("c", BOTH, DB, "c")))
    assert _filled(known, ("a", SRC, CART, ""), ("a", SRC, DB, ""), ("b", DST, CART, "b")) == ["b", "c", "b"]
    assert known.nodes == {"b", "c"}


def test_report_of_the_source_alone_counts():
    known = mirrors.Mirrors("hubble")
    known.learn(_flows(("b", DST, CART, "b")))
    # b has reported, but not this one: if it were named, the ledger would leave it out
    assert _filled(known, ("a", SRC, DB, ""), ("a", SRC, DB, "b"), ("a", SRC, DB, "z")) == ["", "", "z"]


def test_destination_on_several_nodes_is_unclear():
    known = mirrors.Mirrors("hubble")
    known.learn(_flows(("b", DST, CART, "b"), ("c", DST, CART, "c")))
    assert _filled(known, ("a", SRC, CART, ""), ("a", SRC, CART, "c")) == ["hubble", "c"]
    assert known.nodes == {"b", "c", "hubble"}


def test_schema_stays():
    known = mirrors.Mirrors("hubble")
    filled = known.fill(_flows(("a", SRC, CART, "")))
    assert filled.schema == columns.schema(columns.Stage.IDENTITY)
