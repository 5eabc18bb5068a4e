"""Keys: parsed once, numbered by what they say, and never fatal, whatever they say."""

from __future__ import annotations

import dataclasses
import pathlib
import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import flowmessages

from collector.goldmane import flows, keys
from collector.goldmane import goldmane_pb2 as pb
from model import enums, policyhit

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True)
TIERS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
MAYBE = st.just("") | NAMES.filter(lambda name: name != "-")
ENDS = st.builds(
    flows.End,
    kind=st.sampled_from(["WorkloadEndpoint", "HostEndpoint", "NetworkSet", "Network"]),
    namespace=MAYBE,
    name=MAYBE,
)


@st.composite
def hits(draw: st.DrawFn, direction: enums.Direction) -> policyhit.PolicyHit:
    kind = draw(st.sampled_from([*flowmessages.KINDS, policyhit.END_OF_TIER, policyhit.NO_PROFILE]))
    if kind == policyhit.NO_PROFILE:
        return policyhit.PolicyHit(
            direction=direction, tier=policyhit.PROFILE_TIER, kind=kind, action=enums.Action.DENY
        )
    action, tier = draw(st.sampled_from(enums.Action)), draw(TIERS)
    if kind == policyhit.END_OF_TIER:
        action = draw(st.sampled_from([enums.Action.DENY, enums.Action.PASS]))
        return policyhit.PolicyHit(direction=direction, tier=tier, kind=kind, action=action)
    if kind == policyhit.PROFILE:
        tier = policyhit.PROFILE_TIER
    return policyhit.PolicyHit(
        direction=direction, tier=tier, kind=kind, name=draw(NAMES), action=action,
        namespace=draw(NAMES) if kind in ("np", "snp", "sknp", "knp") else "",
        rule=draw(st.integers(0, 10_000)),
    )  # fmt: skip


@st.composite
def some_keys(draw: st.DrawFn) -> flows.Key:
    reporter = draw(st.sampled_from([enums.Reporter.SRC, enums.Reporter.DST]))
    direction = enums.Direction.EGRESS if reporter == enums.Reporter.SRC else enums.Direction.INGRESS
    trace = st.lists(hits(direction), max_size=4).map(tuple)
    return flows.Key(
        src=draw(ENDS), dst=draw(ENDS), dst_port=draw(st.integers(0, 65535)),
        protocol=draw(st.integers(0, 255)), service_namespace=draw(MAYBE), service=draw(MAYBE),
        service_port_name=draw(MAYBE), service_port=draw(st.integers(0, 65535)), reporter=reporter,
        action=draw(st.sampled_from([enums.Action.ALLOW, enums.Action.DENY])),
        enforced=draw(trace), pending=draw(trace),
    )  # fmt: skip


def _read(message: pb.FlowKey) -> flows.Key:
    known = keys.Keys()
    (number,) = known.number([message.SerializeToString()]).tolist()
    return known[number]


@given(some_keys())
def test_key_comes_back_as_it_was_sent(key: flows.Key) -> None:
    known = keys.Keys()
    (number,) = known.number([flowmessages.key(key).SerializeToString()]).tolist()
    assert (known[number], known.unknown, known.error) == (key, 0, "")


@given(some_keys(), st.randoms())
def test_order_of_hits_in_the_message_does_not_matter(key: flows.Key, order: random.Random) -> None:
    shuffled = flowmessages.key(key)
    for name in ("enforced_policies", "pending_policies"):
        found = list(getattr(shuffled.policies, name))
        order.shuffle(found)
        shuffled.policies.ClearField(name)
        getattr(shuffled.policies, name).extend(found)
    known = keys.Keys()
    sent = [flowmessages.key(key).SerializeToString(), shuffled.SerializeToString()]
    assert known.number(sent).tolist() == [0, 0]
    assert (len(known), known[0]) == (1, key)


@given(st.sampled_from(enums.Direction).flatmap(hits))
def test_hit_has_the_text_that_its_nflog_prefix_gives(hit: policyhit.PolicyHit) -> None:
    """But for the tier, which a prefix does not carry since 3.32."""
    found = keys.read_hit(
        flowmessages.hit(hit, 0), _kind(hit), hit.action, hit.direction
    )  # fmt: skip
    prefix = hit.prefix()
    parsed = policyhit.parse_prefix(prefix)
    assert parsed is not None
    if parsed.kind != policyhit.UNRECOGNISED:  # what is too long is hashed
        assert dataclasses.replace(parsed, tier=found.tier).render() == found.render()
    assert found.prefix() == prefix


def _kind(hit: policyhit.PolicyHit) -> str:
    return policyhit.END_OF_TIER if hit.kind == policyhit.NO_PROFILE else hit.kind


@pytest.mark.parametrize(
    ("prefix", "sent"),
    [
        ("API0|shop/knp.default.web", pb.PolicyHit(kind=pb.NetworkPolicy, namespace="shop", name="web")),
        ("API0|shop/default.web", pb.PolicyHit(kind=pb.CalicoNetworkPolicy, namespace="shop", name="web")),
        ("API0|default.web", pb.PolicyHit(kind=pb.GlobalNetworkPolicy, name="web")),
    ],
)
def test_hit_of_calico_3_31_has_the_text_of_its_prefix(prefix: str, sent: pb.PolicyHit) -> None:
    sent.tier, sent.action = "default", pb.Allow
    message = flowmessages.key(flowmessages.some_key(reporter=enums.Reporter.DST, enforced=()))
    message.policies.enforced_policies.append(sent)
    (found,) = _read(message).enforced
    parsed = policyhit.parse_prefix(prefix)
    assert parsed is not None
    assert found.render() == parsed.render()


def test_end_of_tier_does_not_keep_what_set_it_off() -> None:
    hit = policyhit.PolicyHit(
        direction=enums.Direction.EGRESS, tier="ops", kind=policyhit.END_OF_TIER, action=enums.Action.DENY
    )
    assert _read(flowmessages.key(flowmessages.some_key(enforced=(hit,)))).enforced == (hit,)


def test_dash_is_nothing() -> None:
    message = flowmessages.key(flowmessages.some_key())
    message.dest_service_name = message.dest_service_namespace = message.dest_service_port_name = "-"
    message.source_namespace, message.source_name = "-", "pub"
    message.source_type = pb.Network
    key = _read(message)
    assert (key.service, key.service_namespace, key.service_port_name) == ("", "", "")
    assert key.src == flows.End(kind="Network", namespace="", name="pub")


def test_what_a_newer_calico_says_is_kept_as_far_as_it_can_be() -> None:
    message = flowmessages.key(flowmessages.some_key())
    message.source_type, message.proto, message.dest_port = 9, "quic", 70_000
    hit = message.policies.enforced_policies[0]
    hit.kind = 12
    message.policies.pending_policies[0].action = 8
    known = keys.Keys()
    unknown_field = b"\xfa\x01\x02hi"
    assert known.number([message.SerializeToString() + unknown_field]).tolist() == [0]
    key = known[0]
    assert (key.src.kind, key.protocol, key.dst_port, key.pending) == ("9", 0, 0, ())
    assert key.enforced[0].render() == "egress|default|12:shop/web|allow|0"
    assert known.unknown == 5


def test_port_that_was_left_out_is_zero() -> None:
    message = flowmessages.key(flowmessages.some_key())
    message.dest_port = -1
    assert _read(message).dst_port == 0


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("reporter", 0, "FlowKey: reporter 0 is neither Src nor Dst"),
        ("reporter", 3, "FlowKey: reporter 3 is neither Src nor Dst"),
        ("action", 0, "FlowKey: action 0 is neither Allow nor Deny"),
        ("action", pb.Pass, "FlowKey: action 3 is neither Allow nor Deny"),
    ],
)
def test_key_that_does_not_say_enough_is_unreadable(field: str, value: int, error: str) -> None:
    message = flowmessages.key(flowmessages.some_key())
    setattr(message, field, value)
    known = keys.Keys()
    assert known.number([message.SerializeToString()]).tolist() == [keys.UNREADABLE]
    assert (len(known), known.error) == (0, error)


@given(st.binary(max_size=60))
def test_bytes_that_are_no_key_are_not_fatal(noise: bytes) -> None:
    good = flowmessages.key(flowmessages.some_key()).SerializeToString()
    known = keys.Keys()
    assert known.number([noise, good]).tolist()[1] in (0, 1)
    known.number([good[: len(noise)]])


def _ports(*ports: int) -> list[bytes]:
    made = (flowmessages.some_key(dst_port=port) for port in ports)
    return [flowmessages.key(key).SerializeToString() for key in made]


def test_numbers_begin_anew_between_batches_alone() -> None:
    known = keys.Keys(limit=3)
    many = known.number(_ports(*range(10), *range(10))).tolist()
    assert many[:10] == many[10:]
    assert [known[number].dst_port for number in many[:10]] == list(range(10))
    assert known.generation == 0
    again = known.number(_ports(7, 8)).tolist()
    assert (known.generation, len(known)) == (1, 2)
    assert [known[number].dst_port for number in again] == [7, 8]


def test_numbers_stay_as_long_as_there_is_room() -> None:
    known = keys.Keys(limit=3)
    first = known.number(_ports(1, 2)).tolist()
    assert known.number(_ports(2, 1, 3)).tolist() == [first[1], first[0], 2]
    assert known.generation == 0


def test_unreadable_bytes_take_room_too() -> None:
    """Else a flood of them would fill the memory."""
    known = keys.Keys(limit=3)
    known.number([bytes([255, number]) for number in range(10)])
    known.number([])
    assert known.generation == 1
