"""Host endpoints: whom they part, whom they do not, and what is said of it."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from test_evaluate import CORNERS, _engine, _query

from policy import explanation, queries

HOSTS = yaml.safe_load((pathlib.Path(__file__).parent / "host_endpoints.yaml").read_text())


@pytest.mark.parametrize("case", HOSTS["cases"], ids=lambda case: case["title"])
def test_case(case: dict[str, Any]) -> None:
    engine = _engine([*CORNERS["cluster"], *HOSTS["nodes"], *case["objects"]])
    asked = [_query(text) for text in case["connections"]]
    for answer in queries.Asker(engine).ask(asked):
        assert answer.denied is answer.query.expect, answer
    told = explanation.Explainer(engine).explain(asked[-1])
    said = [sentence for side in told.sides for sentence in side.sentences]
    assert [one for one in case.get("said", []) if one not in said] == [], said


@pytest.mark.parametrize("case", CORNERS["cases"], ids=lambda case: case["title"])
def test_automatic_ones_change_nothing(case: dict[str, Any]) -> None:
    """Which Calico makes for every node, and which it lets everything through."""
    hosts = [
        {
            "apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint",
            "metadata": {"name": f"{node}-auto-hep"},
            "spec": {"node": node, "interfaceName": "*", "profiles": ["projectcalico-default-allow"]},
        }
        for node in ("n1", "n2")
    ]  # fmt: skip
    before, after = (
        _engine([*CORNERS["cluster"], *some, *HOSTS["nodes"], *case["policies"]]) for some in ([], hosts)
    )
    asked = [_query(text) for text in case["connections"]]
    for one, other in zip(queries.Asker(before).ask(asked), queries.Asker(after).ask(asked), strict=True):
        assert one.denied is other.denied
