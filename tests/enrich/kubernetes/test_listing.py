"""A list, page by page."""

from __future__ import annotations

import pytest

from enrich.kubernetes import client, discovery, events, listing, news
from model import errors

PLACE = discovery.Place("/api/v1/pods", "v1")


class Pages:
    """Gives these answers, one after the other."""

    def __init__(self, *answers: client.Object | errors.ApiError) -> None:
        self._answers = list(answers)
        self.asked: list[client.Query] = []

    def get(self, path: str, query: client.Query | None = None, accept: str = "") -> client.Object:
        self.asked.append(query or {})
        answer = self._answers.pop(0)
        if isinstance(answer, errors.ApiError):
            raise answer
        return answer


def _page(items: object, revision: str, token: str = "") -> client.Object:
    return {"metadata": {"resourceVersion": revision, "continue": token}, "items": items}


def _listing() -> listing.Listing:
    return listing.Listing(PLACE, began=1, limit=8, accept="json")


def test_watch_begins_where_the_first_page_was() -> None:
    pages, made = Pages(_page([1, 2], "5", "next"), _page([3], "6")), _listing()
    assert (made.page(pages), made.done, made.under_way) == ([1, 2], False, True)
    assert (made.page(pages), made.done, made.under_way) == ([3], True, False)
    assert pages.asked == [{"limit": "8"}, {"limit": "8", "continue": "next"}]
    assert made.position().revision == "5"


def test_empty_list() -> None:
    made = _listing()
    assert made.page(Pages(_page(None, "5"))) == []
    assert made.done


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({}, id="nothing"),
        pytest.param(_page(7, "5"), id="items are a number"),
        pytest.param({"metadata": {}, "items": []}, id="no revision"),
        pytest.param({"metadata": [], "items": []}, id="metadata are a list"),
    ],
)
def test_answer_is_no_list(answer: client.Object) -> None:
    with pytest.raises(events.UnreadableError):
        _listing().page(Pages(answer))


def test_page_that_is_too_large_is_halved_down_to_one() -> None:
    large = errors.ApiError("large", refusal=errors.Refusal.TOO_LARGE)
    pages, made = Pages(large, large, large, large), _listing()
    assert [made.page(pages) for _ in range(3)] == [[], [], []]
    with pytest.raises(errors.ApiError):
        made.page(pages)
    assert [query["limit"] for query in pages.asked] == ["8", "4", "2", "1"]


def test_revisions_that_are_no_numbers_are_remembered() -> None:
    made = _listing()
    made.page(Pages(_page([], "5")))
    made.add(news.Present("", "default", "u"), "5/x")
    assert made.position().is_known("u", "5/x")
