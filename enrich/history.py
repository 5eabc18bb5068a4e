"""The history of a cluster: from objects as they are seen to who had which address, and what held, when.

News may come late and in any order of objects. One thread at a time.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Collection, Iterable

from enrich import changes, contents, endpoints, identity, lives, services, sightings, terms
from model import address, cluster, enums, errors, manifest
from runtime import logs

_limited = logs.Limited(__name__)

_POD, _NODE, _SERVICE = ("", "Pod"), ("", "Node"), ("", "Service")
_OWNED = {("apps", "ReplicaSet"), ("batch", "Job")}
_LIVING = {_POD: enums.EndpointKind.POD, _NODE: enums.EndpointKind.NODE}
"""What has addresses of its own, and what it is to flows."""

KINDS = {_POD, _SERVICE, *_OWNED, *contents.KINDS}
"""API group and kind of all that it reads."""


class History:
    """What is known of a cluster.

    Args:
        clock: How exact times are.
        refused: Told of each object that cannot be read, by its kind.
    """

    def __init__(self, clock: lives.Clock, refused: Callable[[str], None] = lambda _: None) -> None:
        self._clock, self._refused = clock, refused
        self._endpoints = endpoints.Endpoints(clock)
        self._ports: terms.Terms[_Port, None] = terms.Terms()
        self._revisions: terms.Terms[terms.Owner, contents.Content] = terms.Terms()
        self._labels: dict[int, dict[str, str]] = {}
        self._labels_said: set[int] = set()

    def changed(self, document: manifest.Document, at: int, updated: int = 0) -> None:
        """An object is there, or has changed.

        One that cannot be read is counted; what was known of it stays.

        Args:
            document: The object.
            at: When that was seen, in ns since 1970 by our clock.
            updated: When anybody last wrote to it, by the API server's clock; 0 where that is unknown.
        """
        try:
            self._read(document, at, updated)
        except errors.ManifestError as error:
            self._refused(document.kind)
            _limited.warning("object not taken over", source=document.kind, error=str(error))

    def gone(self, document: manifest.Document, at: int) -> None:
        """An object was deleted; this was its last state."""
        self.changed(document, at)
        owner = contents.owner(document)
        self._endpoints.end(_uid(document), at)
        self._endpoints.disown(owner[1:])
        self._ports.gone(owner, at)
        self._revisions.gone(owner, at)

    def listed(
        self, group: str, kind: str, present: Collection[tuple[str, str, str]], alive: int, at: int
    ) -> None:
        """What there is of one kind: whatever else was known of it is gone.

        Args:
            group: The kind's API group.
            kind: The kind.
            present: Namespace, name and uid of each object; the uid may be empty.
            alive: Up to when nothing can have gone unseen, in ns since 1970.
            at: When it was listed.
        """
        if (group, kind) in _LIVING:
            uids = {uid or _named(kind, namespace, name) for namespace, name, uid in present}
            self._endpoints.end_others(_LIVING[group, kind], uids, alive, at)
        if (group, kind) != _POD:  # which has nothing but addresses, and of which there are most
            names = {(namespace, name) for namespace, name, _ in present}
            self._ports.gone_others((group, kind), names, at)
            self._revisions.gone_others((group, kind), names, at)
            self._endpoints.disown_others(kind, names)

    def prime(self, known: changes.Changes) -> None:
        """What was said before, by whoever watched until now.

        What goes on unchanged goes on since when it did; what is not there any more has ended.
        """
        by_uid: dict[str, list[identity.Claim]] = collections.defaultdict(list)
        for claim in known.claims:
            by_uid[claim.uid].append(claim)
        self._endpoints.prime(by_uid)
        for port in known.ports:
            key = _Port(port.address, port.port, port.protocol, port.port_name, port.namespace, port.service)
            owner = (*_SERVICE, port.namespace, port.service)
            self._ports.prime(owner, terms.Term(key, None, port.valid_from, port.valid_to))
        for one in known.revisions:
            owner = (one.api_group, one.kind, one.namespace, one.name)
            content = contents.Content(one.digest, one.tier, one.document)
            self._revisions.prime(owner, terms.Term(owner, content, one.valid_from, one.valid_to))

    def news(self) -> changes.Changes:
        """What is new since this was last asked."""
        labels, self._labels = self._labels, {}
        claims, affected = self._endpoints.news()
        return changes.Changes(
            claims=tuple(claims), labels=labels, affected=affected,
            ports=tuple(map(_service_port, self._ports.news())),
            revisions=tuple(map(_revision, self._revisions.news())),
        )  # fmt: skip

    def said(self) -> changes.Changes:
        """All that was said and is remembered, label sets apart."""
        return changes.Changes(
            claims=tuple(self._endpoints.said()), ports=tuple(map(_service_port, self._ports.said())),
            revisions=tuple(map(_revision, self._revisions.said())),
        )  # fmt: skip

    def forget(self, before: int) -> None:
        """Let go of what had ended by then, in ns since 1970; nothing is said of it."""
        for part in (self._endpoints, self._ports, self._revisions):
            part.forget(before)
        self._labels_said &= self._endpoints.label_sets()

    def label_sets(self) -> set[int]:
        """The numbers of the label sets that were said and are remembered."""
        return self._labels_said

    def _read(self, document: manifest.Document, at: int, updated: int) -> None:
        key = document.group, document.kind
        if key == _POD:
            self._pod(document, cluster.pod(document), at, updated)
        elif key == _NODE:
            node = cluster.node(document)
            self._endpoints.stand(node.name, node.zone)
            seen = sightings.node(node, at=at, updated=updated)
            self._endpoints.see(_uid(document), _version(document), seen)
        elif key == _SERVICE:
            self._service(document, cluster.service(document), at, updated)
        elif key in _OWNED:
            self._endpoints.own(cluster.owned(document))
        if contents.is_kept(document):
            content = contents.content(document)
            since = contents.created(document) or self._unknown(at)
            owner = contents.owner(document)
            self._revisions.say(owner, {owner: content}, at=at, updated=updated, since=since)

    def _pod(self, document: manifest.Document, pod: cluster.Pod, at: int, updated: int) -> None:
        seen = sightings.pod(
            pod, self._endpoints.around, at=at, updated=updated, exact=self._clock.exact
        )  # fmt: skip
        labels = seen.who.labels_id
        if labels and labels not in self._labels_said:
            self._labels_said.add(labels)
            self._labels[labels] = pod.labels
        owner = (pod.owner_kind, pod.namespace, pod.owner_name) if pod.owner_kind else None
        self._endpoints.see(_uid(document), _version(document), seen, owner)

    def _service(self, document: manifest.Document, service: cluster.Service, at: int, updated: int) -> None:
        said = dict.fromkeys(_dialled(service))
        since = service.created or self._unknown(at)
        self._ports.say(contents.owner(document), said, at=at, updated=updated, since=since)

    def _unknown(self, at: int) -> int:
        """Since when something is so that does not say: a manifest stands for what has always been."""
        return 0 if self._clock.exact else at


@dataclasses.dataclass(frozen=True, slots=True)
class _Port:
    address: bytes
    port: int
    protocol: int
    port_name: str
    namespace: str
    service: str


def _uid(document: manifest.Document) -> str:
    uid = document.field().at("metadata", "uid")
    return uid.text() if uid else _named(*contents.owner(document)[1:])


def _named(kind: str, namespace: str, name: str) -> str:
    """Stands for a uid where an object, of a manifest, has none."""
    return f"{kind}/{namespace}/{name}"


def _version(document: manifest.Document) -> int:
    version = document.field().at("metadata", "resourceVersion")
    text = version.value if version else None
    return int(text) if isinstance(text, str) and text.isascii() and text.isdecimal() else 0


def _dialled(service: cluster.Service) -> Iterable[_Port]:
    """Each port at each of its addresses, and where there is one, at every node's."""
    dialled = [
        (address.pack(text), port.number, port) for text in service.addresses for port in service.ports
    ]
    dialled += [(services.EVERY_NODE, port.node_port, port) for port in service.ports if port.node_port]
    for packed, number, port in dialled:
        yield _Port(packed, number, port.protocol.value, port.name, service.namespace, service.name)


def _service_port(term: terms.Term[_Port, None]) -> identity.ServicePort:
    key = term.key
    return identity.ServicePort(
        address=key.address, port=key.port, protocol=key.protocol, namespace=key.namespace,
        service=key.service, port_name=key.port_name, valid_from=term.valid_from, valid_to=term.valid_to,
    )  # fmt: skip


def _revision(term: terms.Term[terms.Owner, contents.Content]) -> changes.Revision:
    group, kind, namespace, name = term.key
    return changes.Revision(
        kind=kind, api_group=group, namespace=namespace, name=name, tier=term.value.tier,
        digest=term.value.digest, document=term.value.document, valid_from=term.valid_from,
        valid_to=term.valid_to,
    )  # fmt: skip
