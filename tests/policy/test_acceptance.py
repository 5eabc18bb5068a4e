"""What a suggestion learns from, and each reason not to."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import observed
import records
from observed import DAY, END, HOUR, edge, ping, pod, port

from model import enums
from policy import acceptance, drafting, record

UDP, SCTP, GRE = enums.Protocol.UDP, enums.Protocol.SCTP, 47
DEBUG = pod("debug", kind="Pod", longest=HOUR, labels={"run": "debug"})
GONE = pod("gone", last=END - DAY - 1)
PODS = [
    pod("web"), pod("db", ports=(port(5432), port(50_000), port(514, protocol=UDP))), DEBUG, GONE,
]  # fmt: skip
OUTSIDE = {"10.9.9.9": ("ambiguous", "", "")}
REFUSED = {"connections": 20, "forward": 20, "reverse": 20, "verdict": "allowed"}
SILENT = {"forward": 60, "reverse": 0, "verdict": "unknown"}
DROPPED = {**SILENT, "verdict": "denied"}
UNCOUNTED = {"forward": 0, "reverse": 0}  # nf_conntrack_acct is off


def _reasons(
    edges: Sequence[observed.Edge], admitted: Sequence[acceptance.Reason] = (),
    variants: Sequence[record.Variant] = PODS,
) -> list[str]:  # fmt: skip
    """Why each edge is left out; empty where it is not."""
    seen = observed.seen(variants, edges, OUTSIDE)
    found = acceptance.accepted(seen, END, admitted, drafting.EXPRESSIBLE[drafting.Kind.KUBERNETES])
    return [str(one or "") for one in found.reasons]


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        pytest.param(edge("web", "db", 5432), "", id="connection"),
        pytest.param(edge("web", "db", 5432, connections=0), "", id="began before the span"),
        pytest.param(edge("web", "db", 5432, connections=0, forward=9, reverse=1), "", id="hardly alive"),
        pytest.param(edge("web", "db", 5432, **UNCOUNTED), "", id="nobody counts packets"),
        pytest.param(edge("web", "203.0.113.9", 443), "", id="out of the cluster"),
        pytest.param(edge("203.0.113.9", "web"), "", id="into the cluster"),
        pytest.param(edge("web", "10.9.9.9"), "ambiguous", id="ambiguous destination"),
        pytest.param(edge("10.9.9.9", "web"), "ambiguous", id="ambiguous source"),
        pytest.param(edge("web", "db", 5432, verdict="denied"), "denied", id="denied"),
        pytest.param(edge("debug", "db", 5432), "one-off", id="from a debug pod"),
        pytest.param(edge("web", "debug", 8000), "one-off", id="to a debug pod"),
        pytest.param(edge("web", "gone"), "gone", id="to what is gone"),
        pytest.param(edge("gone", "web"), "gone", id="from what is gone"),
        pytest.param(edge("web", "db", 81, **REFUSED), "closed", id="refused at once"),
        pytest.param(edge("web", "db", 81, **{**REFUSED, "reverse": 15}), "closed", id="at times no word"),
        pytest.param(edge("web", "db", 81, **{**REFUSED, "reverse": 21}), "", id="once let in"),
        pytest.param(edge("web", "db", 81, protocol=SCTP, **REFUSED), "closed", id="refused by SCTP"),
        pytest.param(edge("web", "db", 53, protocol=UDP, **REFUSED), "", id="one answer for each question"),
        pytest.param(edge("web", "db", 5432, **SILENT), "unanswered", id="no answer"),
        pytest.param(edge("web", "db", 5432, **{**SILENT, "verdict": "allowed"}), "unanswered",
                     id="let in, and no answer"),
        pytest.param(edge("web", "203.0.113.9", 443, verdict="unknown", **UNCOUNTED), "unanswered",
                     id="no answer, as far as can be told without packets"),
        pytest.param(edge("web", "db", 514, protocol=UDP, **SILENT), "", id="one way to a declared port"),
        pytest.param(edge("web", "db", 515, protocol=UDP, **SILENT), "unanswered", id="to another port"),
        pytest.param(edge("web", "db", 515, protocol=UDP, **{**SILENT, "verdict": "allowed"}), "",
                     id="one way, let in"),
        pytest.param(edge("web", "db", 5432, protocol=UDP, **SILENT), "unanswered", id="declared for TCP"),
        pytest.param(edge("web", "203.0.113.9", 514, protocol=UDP, **SILENT), "unanswered",
                     id="one way, and nobody has said that he listens"),
        pytest.param(ping("web", "db"), "inexpressible", id="ping"),
        pytest.param(edge("web", "db", 0, protocol=GRE), "inexpressible", id="tunnel"),
        pytest.param(edge("web", "db", protocol=SCTP), "", id="SCTP"),
    ],
)  # fmt: skip
def test_reason(one: observed.Edge, reason: str) -> None:
    assert _reasons([one]) == [reason]


def test_each_reason_has_words() -> None:
    assert acceptance.ABOUT.keys() == set(acceptance.Reason)


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        pytest.param(pod("x", kind="Pod", longest=DAY - 1), "one-off", id="bare pod of less than a day"),
        pytest.param(pod("x", kind="Pod", longest=DAY), "", id="bare pod of a day"),
        pytest.param(pod("x", kind="Pod", longest=0), "", id="bare pod of which nobody knows"),
        pytest.param(pod("x", kind="Job", longest=HOUR), "", id="pod of a Job"),
        pytest.param(pod("x", last=END - DAY), "", id="gone for a day"),
        pytest.param(pod("x", last=END - DAY - 1), "gone", id="gone for more than a day"),
        pytest.param(pod("x", last=0), "", id="not gone"),
        pytest.param(pod("x", kind="CronJob", last=1, longest=HOUR), "", id="next run to come"),
    ],
)
def test_pods_that_nothing_is_learned_from(variant: record.Variant, reason: str) -> None:
    assert _reasons([edge("x", "web"), edge("web", "x")], variants=[pod("web"), variant]) == [reason] * 2


def test_version_that_is_gone_still_tells_what_the_workload_does() -> None:
    old, new = pod("x", labels={"v": "1"}, last=1), pod("x", labels={"v": "2"})
    for versions in ([old, new], [new, old]):
        assert _reasons([edge(1, 0), edge(2, 0)], variants=[pod("web"), *versions]) == ["", ""]


def test_bare_pod_is_looked_at_in_all_its_lives() -> None:
    """One life of a day is a habit; each variant is told by itself."""
    short, long = (pod("x", kind="Pod", labels={"v": str(i)}, longest=i * DAY - 1) for i in (1, 2))
    assert _reasons([edge(1, 0), edge(2, 0)], variants=[pod("web"), short, long]) == ["one-off", ""]


ORDER = [
    (acceptance.Reason.AMBIGUOUS, edge("debug", "10.9.9.9", 0, protocol=GRE, **DROPPED)),
    (acceptance.Reason.DENIED, edge("debug", "gone", 0, protocol=GRE, **DROPPED)),
    (acceptance.Reason.ONE_OFF, edge("debug", "gone", 0, protocol=GRE, **SILENT)),
    (acceptance.Reason.GONE, edge("web", "gone", 0, protocol=GRE, **SILENT)),
    (acceptance.Reason.UNANSWERED, edge("web", "db", 0, protocol=GRE, **SILENT)),
    (acceptance.Reason.INEXPRESSIBLE, edge("web", "db", 0, protocol=GRE)),
]


@pytest.mark.parametrize(("reason", "one"), ORDER, ids=[str(reason) for reason, _ in ORDER])
def test_first_reason_is_told(reason: acceptance.Reason, one: observed.Edge) -> None:
    """The gravest comes first: who it was, then what policies did, then whether anybody was there."""
    assert _reasons([one]) == [reason]


def test_reason_that_is_admitted_leaves_the_next() -> None:
    one = ORDER[0][1]
    admitted: list[acceptance.Reason] = []
    for reason in (
        acceptance.Reason.AMBIGUOUS, acceptance.Reason.DENIED, acceptance.Reason.ONE_OFF,
        acceptance.Reason.UNANSWERED, acceptance.Reason.INEXPRESSIBLE,
    ):  # fmt: skip
        assert _reasons([one], admitted) == [reason]
        admitted.append(reason)
    assert _reasons([one], admitted) == [""]


def _tried(ports: Sequence[int] = (), found: Sequence[int] = (), **more: object) -> list[observed.Edge]:
    """One pod's attempts at another's ports: these in vain, and those not."""
    in_vain = {**REFUSED, **more}
    return [edge("web", "db", i, **in_vain) for i in ports] + [edge("web", "db", i) for i in found]


@pytest.mark.parametrize(
    ("edges", "reasons"),
    [
        pytest.param(_tried(range(1, 6)), {"scan"}, id="ports"),
        pytest.param(_tried(range(1, 6), **SILENT), {"scan"}, id="ports that do not answer"),
        pytest.param(_tried(range(1, 6), verdict="denied"), {"denied"}, id="ports that are denied"),
        pytest.param(_tried(range(1, 6), [80], verdict="denied", **UNCOUNTED), {"denied", "scan"},
                     id="what policies let in"),
        pytest.param(_tried(range(1, 6), [80, 443]), {"scan"}, id="ports, and what it found"),
        pytest.param(_tried(range(1, 5)), {"closed"}, id="four ports"),
        pytest.param(_tried(range(1, 4), [80]), {"closed", ""}, id="client with a few dead ports"),
        pytest.param(_tried(range(1, 7), range(80, 86)), {"closed", ""}, id="as many in vain as not"),
        pytest.param([edge("web", f"203.0.113.{i}", 22, **SILENT) for i in range(10)], {"scan"}, id="hosts"),
        pytest.param([edge("web", f"203.0.113.{i}", 22, **SILENT) for i in range(9)], {"unanswered"},
                     id="nine hosts"),
        pytest.param([edge("web", f"203.0.113.{i}", 22, **SILENT) for i in range(10)] +
                     [edge("web", "203.0.113.99", 22)], {"scan"}, id="hosts, and what it found"),
        pytest.param([edge("web", f"203.0.113.{i}", 22, **(SILENT if i < 10 else {})) for i in range(20)],
                     {"unanswered", ""}, id="peers half of which are away"),
        pytest.param([edge("web", f"203.0.113.{i}", i, **SILENT) for i in range(1, 20)], {"unanswered"},
                     id="neither one port nor one host"),
        pytest.param([edge("203.0.113.9", "db", i, **REFUSED) for i in range(1, 6)], {"scan"},
                     id="from outside"),
        pytest.param([ping("web", f"203.0.113.{i}", **SILENT) for i in range(10)], {"scan"}, id="pings"),
    ],
)  # fmt: skip
def test_scan(edges: list[observed.Edge], reasons: set[str]) -> None:
    assert set(_reasons(edges)) == reasons


def test_scan_is_nobody_elses() -> None:
    """Another pod's connections to the same ports stay, and the same pod's to others."""
    others = [edge("debug", "db", 1), edge("web", "203.0.113.9", 443)]
    found = _reasons([*_tried(range(1, 6)), *others], [acceptance.Reason.ONE_OFF])
    assert found == ["scan"] * 5 + ["", ""]


def test_versions_of_a_workload_scan_together() -> None:
    old, new = (pod("x", labels={"v": v}) for v in "12")
    edges = [edge(1 + i % 2, "web", 1 + i, **REFUSED) for i in range(5)]
    assert set(_reasons(edges, variants=[pod("web"), old, new])) == {"scan"}


def test_what_a_scan_found_counts_if_scans_are_admitted() -> None:
    found = _reasons(_tried(range(1, 6), [80]), [acceptance.Reason.SCAN])
    assert found == ["closed"] * 5 + [""]


HIGH = 40_000


def _high(src: str, dst: str) -> observed.Edge:
    """To a port of a client, as replies are."""
    return edge(src, dst, HIGH, connections=1)


@pytest.mark.parametrize(
    ("edges", "reasons"),
    [
        pytest.param([edge("web", "db", 5432), _high("db", "web")], ["", "reply"], id="reply"),
        pytest.param([_high("db", "web")], [""], id="no request is known"),
        pytest.param([edge("web", "db", 5432, **SILENT), _high("db", "web")], ["unanswered", ""],
                     id="request that nothing is learned from"),
        pytest.param([edge("web", "db", 5432, protocol=UDP), _high("db", "web")], ["", ""],
                     id="request of another protocol"),
        pytest.param([edge("web", "db", 5432), edge("db", "web", 32_767)], ["", ""], id="no client's port"),
        pytest.param([edge("db", "web", 80), edge("web", "db", 50_000)], ["", ""], id="declared port"),
        pytest.param([_high("web", "db"), _high("db", "web")], ["", ""], id="high ports alone"),
        pytest.param([edge("web", "203.0.113.9", 443), _high("203.0.113.9", "web")], ["", "reply"],
                     id="from outside"),
        pytest.param([edge("203.0.113.9", "web"), _high("web", "203.0.113.9")], ["", "reply"],
                     id="to the outside"),
        pytest.param([edge("web", "203.0.113.9", 443), _high("203.0.113.8", "web")], ["", ""],
                     id="from somebody else"),
    ],
)  # fmt: skip
def test_replies(edges: list[observed.Edge], reasons: list[str]) -> None:
    assert _reasons(edges) == reasons


def test_all_is_expressible_where_nothing_is_said() -> None:
    found = acceptance.accepted(observed.seen(PODS, [ping("web", "db")]), END)
    assert found.mask.tolist() == [True]


def test_what_is_about_no_pod_is_of_no_matter() -> None:
    seen = observed.seen(PODS, [edge("203.0.113.9", "203.0.113.10"), edge("203.0.113.9", "web")])
    found = acceptance.accepted(seen, END)
    assert (found.relevant.tolist(), found.mask.tolist()) == ([False, True], [False, True])


def test_more_is_left_out_only_of_what_was_accepted() -> None:
    edges = [edge("web", "db"), edge("web", "db", verdict="denied"), edge("web", "203.0.113.9")]
    found = acceptance.accepted(observed.seen(PODS, edges), END)
    less = found.without(np.array([True, True, False]), acceptance.Reason.CROWD)
    assert less.reasons.tolist() == [acceptance.Reason.CROWD, acceptance.Reason.DENIED, None]
    assert found.mask.tolist() == [True, False, True], "it was not changed itself"


def test_record_of_nothing() -> None:
    found = acceptance.accepted(observed.seen(PODS, []), END)
    assert (len(found.mask), len(acceptance.accepted(observed.seen([], []), END).mask)) == (0, 0)


@given(st.integers(0, 10**9), st.sets(st.sampled_from(acceptance.Reason)))
def test_admitting_takes_reasons_away_and_adds_none(seed: int, admitted: set[acceptance.Reason]) -> None:
    """Replies apart, which follow from the requests that are known."""
    seen = records.Maker(seed).record()
    before = acceptance.accepted(seen, records.END)
    after = acceptance.accepted(seen, records.END, admitted)
    assert not set(after.reasons.tolist()) & admitted
    for old, new in zip(before.reasons.tolist(), after.reasons.tolist(), strict=True):
        assert old is new or old in admitted or new is acceptance.Reason.REPLY


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        pytest.param([0, 1, 1], "", id="the same labels find both"),
        pytest.param([0, 1, 2], "gone", id="they do not"),
    ],
)
def test_what_is_gone_may_come_again_under_another_name(groups: list[int], reason: str) -> None:
    """As Jobs do that something makes anew each time."""
    variants = [pod("web"), pod("job-1", kind="Job", last=END - 2 * DAY), pod("job-2", kind="Job")]
    seen = observed.seen(variants, [edge("job-1", "web")])
    found = acceptance.accepted(seen, END, groups=np.array(groups, np.int32))
    assert [str(one or "") for one in found.reasons] == [reason]


def test_port_that_no_policy_can_have_is_never_admitted() -> None:
    one = edge("web", "db", 0, protocol=UDP, verdict="allowed")
    assert _reasons([one]) == _reasons([one], list(acceptance.Reason)) == ["inexpressible"]


@pytest.mark.parametrize(
    ("back", "reason"),
    [
        pytest.param([edge("db", "web", 50_051, connections=1)], "reply", id="a port of one connection"),
        pytest.param([edge("db", "web", 50_051, connections=50)], "", id="a port that came again"),
        pytest.param([edge("db", "web", 50_051, connections=1), edge("203.0.113.9", "web", 50_051)], "",
                     id="a port that others ask too"),
    ],
)  # fmt: skip
def test_reply_is_to_a_port_of_one_connection(back: list[observed.Edge], reason: str) -> None:
    assert _reasons([edge("web", "db", 5432), *back])[1] == reason
