from app.widgets import figures, formats
from store import queries

NOW = 1_700_000_000 * formats.SECOND


def summary(**changed):
    values = dict.fromkeys(("flows", "allowed", "denied", "unknown", "bytes", "lost", "discarded"), 0)
    return queries.Summary(**{"completeness": 1.0, **values, **changed})


def node(name, seconds, lost=0):
    return {"node": name, "last_seen": NOW - seconds * formats.SECOND, "lost": lost}


def test_no_remarks_on_a_good_day():
    assert figures.remarks(summary(), [node("a", 3), node("b", 9)], NOW) == []
    assert figures.missing(summary()) == "nothing lost"


def test_remarks_say_what_is_lost_and_where():
    lossy = summary(lost=214, completeness=0.9998)
    assert figures.remarks(lossy, [node("a", 3), node("b", 3, lost=214)], NOW) == [
        "99.98 % complete: the kernel could not hand over 214 reports (214 on b)."
    ]


def test_remarks_tell_discarded_from_lost():
    assert figures.remarks(summary(discarded=1), [], NOW) == ["1 report left out on purpose."]


def test_remarks_name_a_silent_node():
    assert figures.remarks(summary(), [node("a", 3), node("b", 300)], NOW) == ["Silent: b for 5 min."]


def test_remarks_say_that_all_are_silent():
    (line,) = figures.remarks(summary(), [node("a", 400), node("b", 300)], NOW)
    assert line == "No node has reported for 5 min: is a collector running?"


def test_freshness_is_that_of_the_newest():
    assert figures.freshness([node("a", 3), node("b", 9)], NOW) == "newest 3 s ago"
    assert figures.freshness([], NOW) == "none in this time"
