"""What is delivered cannot be changed by whoever is told."""

from __future__ import annotations

import dataclasses

import pytest
from mirror import KINDS

from enrich.kubernetes import news

POD = {"metadata": {"name": "web"}}


@pytest.mark.parametrize(
    "what",
    [
        news.Changed(KINDS["pods"], POD, at=2, updated=1),
        news.Gone(KINDS["pods"], POD, at=2),
        news.Listed(KINDS["pods"], (news.Present("shop", "web", "u"),), began=1, at=2),
    ],
    ids=lambda what: type(what).__name__,
)
def test_news_are_values(what: news.News) -> None:
    assert what == dataclasses.replace(what)
    with pytest.raises(dataclasses.FrozenInstanceError):
        what.at = 3  # type: ignore[misc]
