"""Found, not found, declined; and what is forgotten."""

from __future__ import annotations

import numpy as np

from enrich import changes, identity, names
from model import address, enums, manifest

SECOND = 1_000_000_000
HOUR = 3600 * SECOND


def _claim(text: str, start: int, end: int, name: str = "web") -> identity.Claim:
    who = identity.Identity(kind=enums.EndpointKind.POD, pod=name)
    return identity.Claim(
        address=address.pack(text),
        uid=name,
        identity=who,
        valid_from=start,
        sure_from=start,
        sure_to=end,
        valid_to=end,
    )


def _set(name: str, start: int, end: int) -> changes.Revision:
    body = {"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkSet", "metadata": {"name": name},
            "spec": {"nets": ["192.0.2.0/24"]}}  # fmt: skip
    return changes.Revision(
        kind="GlobalNetworkSet",
        api_group="projectcalico.org",
        namespace="",
        name=name,
        tier="",
        digest=name,
        document=manifest.Document("f", 1, body),
        valid_from=start,
        valid_to=end,
    )


def _packed(*texts: str) -> np.ndarray:
    return np.frombuffer(b"".join(map(address.pack, texts)), np.uint8).reshape(-1, 16)


def _who(known: names.Names, text: str, time: int) -> str:
    who = known.enricher.who
    (code,) = who.find(_packed(text), np.array([time], np.int64))
    (found,) = who.identities.some([code])
    return found.pod or found.workload or found.kind


def test_three_answers() -> None:
    known = names.Names()
    known.take(changes.Changes(claims=(_claim("10.0.0.1", 10, 50),)))
    known.cover(20, 60)
    asked = [
        ("10.0.0.1", 15),
        ("10.0.0.1", 30),
        ("10.0.0.1", 55),
        ("10.0.0.1", 60),
        ("10.0.0.2", 19),
        ("10.0.0.2", 20),
    ]
    found = known.answers(
        _packed(*(text for text, _ in asked)), np.array([time for _, time in asked], np.int64)
    )
    said = [names.ANSWERS[answer] for answer in found.tolist()]
    assert said == ["found", "found", "not_found", "declined", "declined", "not_found"]


def test_nothing_is_known_before_anything_is_said() -> None:
    assert names.Names().answers(_packed("10.0.0.1"), np.array([5], np.int64)).tolist() == [names.DECLINED]


def test_network_set_names_for_as_long_as_it_is_there() -> None:
    known = names.Names()
    known.take(changes.Changes(revisions=(_set("office", 10, identity.FOREVER),)))
    assert [_who(known, "192.0.2.1", time) for time in (5, 15, 30)] == ["public", "office", "office"]
    known.take(changes.Changes(revisions=(_set("office", 10, 20), _set("branch", 20, identity.FOREVER))))
    assert [_who(known, "192.0.2.1", time) for time in (5, 15, 30)] == ["public", "office", "branch"]


def test_service_port_that_is_taken_back_names_nothing() -> None:
    known = names.Names()
    port = identity.ServicePort(
        address=address.pack("10.96.0.1"),
        port=80,
        protocol=6,
        namespace="shop",
        service="web",
        port_name="",
        valid_from=10,
        valid_to=identity.FOREVER,
    )
    known.take(changes.Changes(ports=(port,)))
    before = known.enricher
    known.take(changes.Changes(ports=(identity.ServicePort(**{**_fields(port), "valid_to": 10}),)))
    assert known.enricher is not before
    assert known._ports == {}


def _fields(port: identity.ServicePort) -> dict[str, object]:
    return {name: getattr(port, name) for name in port.__slots__}


def test_what_has_ended_long_ago_is_forgotten() -> None:
    known = names.Names(remember=24 * HOUR)
    known.take(changes.Changes(
        claims=(_claim("10.0.0.1", 0, HOUR, "old"), _claim("10.0.0.2", 0, identity.FOREVER, "new")),
        revisions=(_set("past", 0, HOUR), _set("present", HOUR, identity.FOREVER)),
    ))  # fmt: skip
    known.forget(24 * HOUR)
    assert _who(known, "10.0.0.1", 5) == "old"
    known.forget(26 * HOUR)
    assert [_who(known, text, 5) for text in ("10.0.0.1", "10.0.0.2", "192.0.2.1")] == [
        "private",
        "new",
        "public",
    ]
    assert _who(known, "192.0.2.1", 2 * HOUR) == "present"
    assert len(known.enricher.who) == 1
    known.cover(0, 30 * HOUR)
    asked = known.answers(_packed("10.0.0.1", "10.0.0.1"), np.array([5, 3 * HOUR], np.int64))
    assert [names.ANSWERS[answer] for answer in asked.tolist()] == ["declined", "not_found"]
    known.take(changes.Changes(claims=(_claim("10.0.0.3", 0, identity.FOREVER, "late"),)))
    assert _who(known, "10.0.0.3", 5) == "late"


def test_what_is_recalled_is_known_from_then_on() -> None:
    """Without it, what this process has not seen itself may have been forgotten."""
    known = names.Names()
    known.cover(100, 200)
    assert known.horizon == 100
    past = changes.Changes(revisions=(_set("office", 10, 90),))
    known.recall(iter([_claim("10.0.0.1", 20, 50)]), past, since=15)
    assert known.horizon == 15
    assert [_who(known, "10.0.0.1", time) for time in (30, 60)] == ["web", "private"]
    assert _who(known, "192.0.2.1", 30) == "office"
    known.cover(5, 200)
    assert known.horizon == 5
