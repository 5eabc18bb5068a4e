"""Until when everything is known."""

from __future__ import annotations

import pytest

from enrich.kubernetes import freshness

AT = 10**18
KNOWN = AT - freshness.MARGIN


@pytest.fixture
def watch() -> freshness.Freshness:
    made = freshness.Freshness()
    made.opened()
    return made


@pytest.mark.parametrize(
    ("waited", "bookmark", "until"),
    [
        pytest.param(0.0, False, 0, id="an event of a backlog"),
        pytest.param(0.2, False, KNOWN, id="an event that was waited for"),
        pytest.param(0.0, True, KNOWN, id="a bookmark"),
    ],
)
def test_line_proves(watch: freshness.Freshness, waited: float, bookmark: bool, until: int) -> None:
    assert watch.came(waited, AT, bookmark=bookmark) == until


def test_after_catching_up_each_event_counts(watch: freshness.Freshness) -> None:
    watch.came(0.2, AT, bookmark=False)
    assert watch.came(0.0, AT, bookmark=False) == KNOWN
    watch.opened()
    assert watch.came(0.0, AT, bookmark=False) == 0


def test_whoever_is_slow_may_be_behind(watch: freshness.Freshness) -> None:
    watch.came(0.2, AT, bookmark=False)
    watch.took(2.0)
    assert watch.came(0.0, AT, bookmark=True) == 0
    assert watch.ended(30.0, 30.0, AT) == 0
    assert watch.came(0.2, AT, bookmark=False) == KNOWN


@pytest.mark.parametrize(
    ("lasted", "until"), [pytest.param(29.9, KNOWN, id="as asked"), pytest.param(5.0, 0, id="early")]
)
def test_end_proves(watch: freshness.Freshness, lasted: float, until: int) -> None:
    assert watch.ended(lasted, 30.0, AT) == until
