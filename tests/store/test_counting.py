"""Which rows an answer is made of."""

from __future__ import annotations

import pytest

from store import counting, ddl, filters

MINUTE, HOUR, DAY = 60_000_000_000, 3_600_000_000_000, 86_400_000_000_000


@pytest.mark.parametrize(
    ("start", "end", "text", "bucket", "tables"),
    [
        (0, HOUR, "", 60, ["flows"]),
        (0, 4 * HOUR, "", 60, ["flows_minute"]),
        (1, 4 * HOUR, "", 60, ["flows", "flows_minute"]),
        (0, 4 * HOUR, "", 10, ["flows"]),
        (0, 4 * HOUR, "src.port = 1", 60, ["flows"]),
        (0, 4 * HOUR, "src.address in 10.0.0.0/8", 60, ["flows"]),
        (0, 4 * HOUR, "src.pod = web-1", 60, ["flows"]),
        (0, 4 * HOUR, "src.label.app = web", 60, ["flows_minute"]),
        (0, 3 * DAY, "", 0, ["flows_hour"]),
        (0, 4 * DAY, "", 0, ["flows_day"]),
        (0, 4 * DAY, "", 3600, ["flows_hour"]),
        (0, 4 * DAY, "", 60, ["flows_minute"]),
        (1, 4 * DAY + 1, "", 3600, ["flows", "flows_minute", "flows_hour", "flows"]),
        (MINUTE, 4 * DAY + MINUTE, "", 3600, ["flows_minute", "flows_hour", "flows_minute"]),
        (HOUR, 4 * DAY + HOUR, "", 0, ["flows_hour", "flows_day", "flows_hour"]),
        (5, 5, "", 3600, []),
    ],
)
def test_each_part_of_a_span_has_its_table(
    start: int, end: int, text: str, bucket: int, tables: list[str]
) -> None:
    found = counting.parts(counting.Span(start, end), filters.compile(text), bucket)
    assert [table for table, _ in found] == tables
    edges = [edge for _, part in found for edge in (part.start, part.end)]
    assert edges[1:-1:2] == edges[2::2]
    assert [*edges[:1], *edges[-1:]] in ([], [start, end])


def test_every_table_of_the_answer_exists() -> None:
    assert {table for table, _ in counting.LEVELS} == set(ddl.ROLLUPS)
