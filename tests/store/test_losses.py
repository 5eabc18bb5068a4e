from __future__ import annotations

import pyarrow as pa
import pytest

from store import losses


def _loss(node: str, lost: int = 0, discarded: int = 0, source: str = "conntrack") -> losses.Loss:
    return losses.Loss(node=node, source=source, lost=lost, discarded=discarded)


@pytest.mark.parametrize(
    ("complete", "said"),
    [
        pytest.param(losses.Completeness(), "no report of how complete it is", id="no report"),
        pytest.param(
            losses.Completeness(observed=1), "100 % complete: nothing lost, nothing discarded", id="all"
        ),
        pytest.param(
            losses.Completeness(observed=1_069_786, missing=214, lost=214, losses=[_loss("node-7", 214)]),
            "99.98 % complete: 214 events lost on node-7",
            id="lost",
        ),
        pytest.param(
            losses.Completeness(
                observed=10**6, missing=1, lost=1, discarded=2000,
                losses=[_loss("a", 1, 1000), _loss("", 0, 1000, "retention")],
            ),
            "99.99 % complete: 1 event lost on a, 2,000 discarded on a, by retention",
            id="lost and discarded",
        ),
        pytest.param(
            losses.Completeness(
                observed=1, missing=15, lost=15,
                losses=[
                    _loss("a", 2), _loss("b", 5), _loss("a", 4, source="nflog"), _loss("c", 3), _loss("d", 1),
                ],
            ),
            "6.25 % complete: 15 events lost on a, on b, on c and 1 more",
            id="many places",
        ),
        pytest.param(losses.Completeness(observed=1, lost=1), "100 % complete: 1 event lost", id="made up"),
    ],
)  # fmt: skip
def test_completeness_is_a_sentence(complete: losses.Completeness, said: str) -> None:
    assert str(complete) == said


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100 %"), (0.99999, "99.99 %"), (0.5, "50.00 %"), (0.0, "0.00 %")]
)
def test_percentage_never_promises_too_much(share: float, text: str) -> None:
    assert losses.percentage(share) == text


def test_answer_carries_its_completeness(tmp_path: object) -> None:
    complete = losses.Completeness(observed=9, missing=1, lost=1, losses=(_loss("ü", 1),))
    plain = pa.table({"a": [1, 2]}).replace_schema_metadata({"of": "another"})
    table = losses.attach(plain, complete)
    assert (table.column("a").to_pylist(), table.schema.metadata[b"of"]) == ([1, 2], b"another")
    assert losses.attached(table.slice(1)) == complete
    assert losses.attached(plain) is None
