"""Goldmane's flows in JSON."""

import itertools
import pathlib

import hypothesis
import pytest
from hypothesis import strategies as st

from collector.exports import calico, goldmane
from collector.goldmane import flows
from model import enums, policyhit

_NUMBERS = {word: number for words in (goldmane._ENDPOINTS, goldmane._REPORTERS, goldmane._POLICIES)
            for number, word in enumerate(words)} | {"Allow": 1, "Deny": 2, "Pass": 3}  # fmt: skip
_KINDS = {short: kind for kind, short in goldmane._SHORT.items()}
_NAMES = st.text("abcdefghijklmnop.-019", min_size=1, max_size=12).filter(lambda text: text != "-")
_CLUSTER_WIDE = ("gnp", "sgnp", "kcnp", "kanp", "kbanp")


def _camel(name):
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def _written(value, name, protobuf):
    """A message as protobuf's JSON or Go's has it, without what is zero."""
    if isinstance(value, dict):
        said = {k: v for k, v in value.items() if v not in (0, "", [], {})}
        return {(_camel(k) if protobuf else k): _written(v, k, protobuf) for k, v in said.items()}
    if isinstance(value, list):
        return [_written(one, name, protobuf) for one in value]
    if name in ("kind", "reporter", "action") or name.endswith("_type"):
        return value if protobuf else _NUMBERS[value]
    return str(value) if protobuf and isinstance(value, int) else value


def _hit(hit, place):
    tier = "" if hit.kind == policyhit.PROFILE else hit.tier
    return {"kind": _KINDS[hit.kind], "namespace": hit.namespace, "name": hit.name, "tier": tier,
            "action": hit.action.value.title(), "policy_index": place, "rule_index": hit.rule}  # fmt: skip


def _message(key):
    of = {f"{side}_{part}": getattr(end, part) for side, end in (("source", key.src), ("dest", key.dst))
          for part in ("name", "namespace")}  # fmt: skip
    return of | {
        "source_type": key.src.kind, "dest_type": key.dst.kind, "dest_port": key.dst_port,
        "dest_service_name": key.service, "dest_service_namespace": key.service_namespace,
        "dest_service_port_name": key.service_port_name, "dest_service_port": key.service_port,
        "proto": enums.protocol_name(key.protocol).lower(), "reporter": key.reporter.value.title(),
        "action": key.action.value.title(),
        "policies": {
            "enforced_policies": [_hit(hit, i) for i, hit in enumerate(key.enforced)][::-1],
            "pending_policies": [_hit(hit, i) for i, hit in enumerate(key.pending)],
        },
    }  # fmt: skip


@st.composite
def _hits(draw, towards):
    found = []
    for kind in draw(st.lists(st.sampled_from(sorted(_KINDS)), max_size=4)):
        own = kind not in (policyhit.END_OF_TIER, policyhit.PROFILE)
        found.append(policyhit.PolicyHit(
            direction=towards, kind=kind,
            tier=policyhit.PROFILE_TIER if kind == policyhit.PROFILE else draw(_NAMES),
            namespace=draw(_NAMES) if own and kind not in _CLUSTER_WIDE else "",
            name="" if kind == policyhit.END_OF_TIER else draw(_NAMES),
            action=draw(st.sampled_from(enums.Action)),
            rule=policyhit.NO_RULE if kind == policyhit.END_OF_TIER else draw(st.integers(0, 99)),
        ))  # fmt: skip
    return tuple(found)


@st.composite
def _ends(draw):
    kind = draw(st.sampled_from(goldmane._ENDPOINTS[1:]))
    name = draw(st.sampled_from(["pub", "pvt"]) if kind == calico.NETWORK else _NAMES)
    return flows.End(kind=kind, namespace=draw(st.one_of(st.just(""), _NAMES)), name=name)


@st.composite
def _keys(draw):
    reporter = draw(st.sampled_from([enums.Reporter.SRC, enums.Reporter.DST]))
    protocol = draw(st.sampled_from([6, 17, 132, 1, 58, 47]))
    port = st.integers(0, 65535)
    towards = calico.direction(reporter)
    service = draw(st.booleans())
    return flows.Key(
        src=draw(_ends()), dst=draw(_ends()), protocol=protocol,
        dst_port=draw(port) if protocol in (6, 17, 132) else 0, reporter=reporter,
        action=draw(st.sampled_from([enums.Action.ALLOW, enums.Action.DENY])),
        service=draw(_NAMES) if service else "", service_namespace=draw(_NAMES) if service else "",
        service_port_name=draw(_NAMES) if service else "", service_port=draw(port) if service else 0,
        enforced=draw(_hits(towards)), pending=draw(_hits(towards)),
    )  # fmt: skip


@pytest.mark.parametrize("protobuf", [True, False], ids=["protobuf's JSON", "Go's JSON"])
@hypothesis.given(key=_keys())
@hypothesis.settings(max_examples=150)
def test_key_comes_back_from_json(protobuf, key):
    message = _message(key)
    assert goldmane.key({"Key": _written(message, "", protobuf)}) == key


SAME = ("goldmane-emitter.jsonl", "goldmane-list.json")


def test_both_forms_make_the_same_rows(captured):
    first, second = (captured("goldmane", name).batch() for name in SAME)
    assert first.equals(second)
    assert len(first) == 6


@pytest.mark.parametrize("name", ["whisker-flows.json", "whisker-stream.txt"])
def test_whisker_says_the_same_but_for_connections_and_services(captured, plain, name):
    absent = ("connections_started", "connections_ended", "service_port", "service", "service_namespace",
              "service_port_name")  # fmt: skip
    emitted, shown = (plain(captured("goldmane", one)) for one in (SAME[0], name))
    assert shown == [{k: v for k, v in row.items() if k not in absent} for row in emitted]


def test_captured_rows(captured, plain):
    rows = plain(captured("goldmane", SAME[0]))
    assert [(row["reporter"], row["verdict"]) for row in rows] == [
        ("src", "allowed"), ("dst", "allowed"), ("dst", "denied"), ("src", "unknown"), ("src", "allowed"),
        ("dst", "allowed"),
    ]  # fmt: skip
    src, dst = rows[:2]
    for row in (src, dst):  # the same connection, as both of its ends have counted it
        assert (row["forward_bytes"], row["reverse_bytes"], row["connections_started"]) == (4800, 9000, 4)
        assert (row["src_workload_kind"], row["src_workload"], row["dst_workload"]) == (
            "Deployment",
            "web",
            "cart",
        )
        assert (row["service_namespace"], row["service"], row["service_port"]) == ("shop", "cart", 80)
        assert (row["node"], row["origin"], row["attribution"]) == ("told", "goldmane", "felix")
    assert rows[3]["pending_verdict"] == "denied"
    assert rows[5]["policy_trace"].count(" ") == 1


PLAIN = {"Key": {"source_name": "web-*", "source_namespace": "shop", "source_type": 1, "dest_name": "pub",
                 "dest_type": 4, "dest_port": 443, "proto": "tcp", "reporter": 1, "action": 1},
         "start_time": 1_785_578_400}  # fmt: skip

BAD = {
    "no reporter": ({"reporter": 0}, "reporter is not there"),
    "no action": ({"action": "Shrug"}, "action is 'Shrug', not one of Allow"),
    "no name": ({"source_name": ""}, "source_name is not there"),
    "another type": ({"dest_type": 9}, "dest_type is 9"),
    "no protocol": ({"proto": ""}, "proto is not there"),
    "port": ({"dest_port": 70000}, "dest_port is out of range"),
    "policies": ({"policies": [1]}, "policies is no object"),
    "a policy": ({"policies": {"enforced_policies": [1]}}, "a policy is no object"),
    "a policy's kind": ({"policies": {"enforced_policies": [{"kind": 99, "action": 1}]}}, "kind is 99"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_flow_is_said_and_costs_only_itself(read, case):
    change, reason = BAD[case]
    into = read("goldmane", PLAIN, PLAIN | {"Key": PLAIN["Key"] | change}, PLAIN)
    assert len(into) == 2
    ((line, why),) = into.bad
    assert (line, reason in why) == (2, True)


def test_flow_that_lasts_until_the_next_ends_when_it_began(read, plain):
    (row,) = plain(read("goldmane", PLAIN))
    assert row["time"] == row["started"]


def test_enums_have_a_name_for_every_number_of_the_protocol():
    text = pathlib.Path(flows.__file__).with_name("goldmane.proto").read_text()
    for words in (goldmane._ENDPOINTS, goldmane._POLICIES, goldmane._ACTIONS, goldmane._REPORTERS):
        for number, word in itertools.islice(enumerate(words), 1, None):
            assert f"  {word} = {number};" in text
