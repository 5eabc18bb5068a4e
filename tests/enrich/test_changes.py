"""What is new, put together."""

from __future__ import annotations

import dataclasses

from enrich import changes, identity
from model import address, manifest

DOCUMENT = manifest.Document("f", 1, {"apiVersion": "v1", "kind": "Tier"})


def _revision(name: str, document: manifest.Document = DOCUMENT) -> changes.Revision:
    return changes.Revision(
        kind="Tier", api_group="", namespace="", name=name, tier="", digest="d", document=document,
        valid_from=0, valid_to=1,
    )  # fmt: skip


def _service_port(end: int) -> identity.ServicePort:
    return identity.ServicePort(
        address=address.pack("10.96.0.1"), port=80, protocol=6, namespace="shop", service="web",
        port_name="http", valid_from=10, valid_to=end,
    )  # fmt: skip


def test_nothing_new_is_false() -> None:
    assert not changes.Changes()
    assert changes.Changes(labels={1: {"a": "b"}})


def test_second_follows_the_first_and_alone_affects() -> None:
    first = changes.Changes(revisions=(_revision("a"),), labels={1: {}}, affected={b"a": 1})
    then = changes.Changes(revisions=(_revision("b"),), labels={2: {}}, affected={b"b": 2})
    both = changes.joined(first, then)
    assert [one.name for one in both.revisions] == ["a", "b"]
    assert (both.labels.keys(), both.affected) == ({1, 2}, {b"b": 2})


def test_revision_is_its_digest_wherever_it_was_read() -> None:
    assert _revision("a") == _revision(
        "a", manifest.Document("elsewhere", 2, {"apiVersion": "v1", "kind": "Tier"})
    )


def test_last_word_about_each_is_what_counts() -> None:
    first, then = (_service_port(end) for end in (identity.FOREVER, 40))
    again = dataclasses.replace(_service_port(90), valid_from=50)
    assert changes.last(changes.Changes(ports=(first, then, again))).ports == (then, again)
