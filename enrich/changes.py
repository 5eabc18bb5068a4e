"""What a feed has learned: all that it says anew, the same form whichever feed it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from enrich import identity
from model import manifest


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """What an object that policies are read from was, from when until when; in ns since 1970.

    Policies, tiers, profiles, network sets, host endpoints, IP pools; and what these refer to: namespaces,
    service accounts, nodes.

    Attributes:
        tier: Of a policy of Calico's.
        digest: Of the content; the same for the same content.
        document: The content.
    """

    kind: str
    api_group: str
    namespace: str
    name: str
    tier: str
    digest: str
    document: manifest.Document = dataclasses.field(compare=False)
    valid_from: int
    valid_to: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is said of each claim, service port and object takes the place of what was said of it before.

    What ends where it begins is taken back. A claim is known by its address, uid and beginning; a service
    port by all that it is and its beginning; a revision by its object and its beginning.

    Attributes:
        labels: Label sets by the numbers that claims have.
        affected: Since when each of some addresses is answered for in another way, in ns since 1970.
    """

    claims: tuple[identity.Claim, ...] = ()
    ports: tuple[identity.ServicePort, ...] = ()
    revisions: Collection[Revision] = ()
    labels: dict[int, dict[str, str]] = dataclasses.field(default_factory=dict)
    affected: dict[bytes, int] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.claims or self.ports or self.revisions or self.labels)


def last(news: Changes) -> Changes:
    """The last word about each claim, service port and revision."""
    return dataclasses.replace(
        news, claims=tuple({(one.address, one.uid, one.valid_from): one for one in news.claims}.values()),
        ports=tuple({dataclasses.replace(one, valid_to=0): one for one in news.ports}.values()),
        revisions=tuple({
            (one.api_group, one.kind, one.namespace, one.name, one.valid_from): one for one in news.revisions
        }.values()),
    )  # fmt: skip


def joined(first: Changes, then: Changes) -> Changes:
    """All of two; what is affected by the second."""
    return Changes(
        claims=first.claims + then.claims, ports=first.ports + then.ports,
        revisions=(*first.revisions, *then.revisions), labels=first.labels | then.labels,
        affected=then.affected,
    )  # fmt: skip
