from __future__ import annotations

import pytest

from model import columns
from store import fields


def test_every_column_is_a_field() -> None:
    written = {name.replace(".", "_") for name in fields.FIELDS}
    assert {column.name for column in columns.COLUMNS} <= written
    assert all(about for about in fields.FIELDS.values())


@pytest.mark.parametrize(
    ("name", "looks_at", "label"),
    [
        ("src.namespace", {"src_namespace"}, ""),
        ("namespace", {"src_namespace", "dst_namespace"}, ""),
        ("port", {"dst_port"}, ""),
        ("node", {"node"}, ""),
        ("src.node", {"src_node"}, ""),
        ("zone", {"src_zone", "dst_zone"}, ""),
        ("dst.label.a.b/c", {"dst_labels_id"}, "a.b/c"),
        ("label.app", {"src_labels_id", "dst_labels_id"}, "app"),
    ],
)
def test_field_means_columns(name: str, looks_at: set[str], label: str) -> None:
    meant = fields.meaning(name)
    assert (meant.columns, meant.label) == (looks_at, label)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("verdit", "did you mean verdict?"),
        ("zzz", "there is no 'zzz'$"),
        ("src.label.", "the name of a label"),
    ],
)
def test_strange_field_is_explained(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", "[?]")):
        fields.meaning(name)
