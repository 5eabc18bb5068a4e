"""Endpoints: the lives of all pods and nodes, and the claims that follow from them.

All that was said of one is worked out again when something is learned about it; what differs is news.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Collection, Iterable, Mapping

from enrich import identity, lives, sightings, workload
from model import cluster, enums

_MOST_SEEN = 100
"""Sightings of a life that are kept; a pod whose labels change more often has its second set no longer."""


@dataclasses.dataclass(slots=True)
class _Life:
    """What was seen of a pod or a node, and what was said of it."""

    version: int
    seen: list[lives.Seen]
    owner: workload.Reference | None = None
    gone: lives.Gone | None = None
    said: tuple[identity.Claim, ...] = ()


class Endpoints:
    """Who has which address since when.

    Args:
        clock: How exact times are.
    """

    def __init__(self, clock: lives.Clock) -> None:
        self._clock = clock
        self._lives: dict[str, _Life] = {}
        self._owned: dict[workload.Reference, cluster.Owned] = {}
        self._disowned: set[workload.Reference] = set()
        self._zones: dict[str, str] = {}
        self._named_by: dict[workload.Reference, set[str]] = collections.defaultdict(set)
        self._touched: set[str] = set()
        self._news: list[identity.Claim] = []
        self._affected: dict[bytes, int] = {}
        self.around = sightings.Around(owned=self._owned, zones=self._zones)
        """What pods are named by."""

    def __len__(self) -> int:
        return len(self._lives)

    def see(self, uid: str, version: int, seen: lives.Seen, owner: workload.Reference | None = None) -> None:
        """Something was seen of a pod or a node; what is older than what is known of it adds nothing.

        Args:
            uid: Whose life it is.
            version: Its revision; later ones are larger.
            seen: What was seen.
            owner: Who is named in it as its owner.
        """
        life = self._lives.get(uid)
        if life and self._is_another(life, seen):
            self._end(uid, lives.Gone(alive=seen.at, at=seen.at))
            self._say(uid)
            life = None
        if life and (life.gone or version < life.version):
            return
        if life is None:
            life = self._lives[uid] = _Life(version, [seen])
            self._touched.add(uid)
        elif longer := life.seen[-1].until(seen):
            if longer.ready != life.seen[-1].ready:
                self._touched.add(uid)
            life.seen[-1] = longer
        else:
            life.seen.append(seen)
            del life.seen[1 : max(len(life.seen) - _MOST_SEEN, 0) + 1]
            self._touched.add(uid)
        life.version, life.owner = version, owner
        for reference in _named_by(life):
            self._named_by[reference].add(uid)

    def end(self, uid: str, at: int) -> None:
        """A pod or a node was deleted; its last state was seen before."""
        if life := self._lives.get(uid):
            last = life.seen[-1]
            told = last.asked or last.finished or last.who.kind is enums.EndpointKind.NODE
            self._end(uid, lives.Gone(alive=at if told else last.ready, at=at))

    def end_others(self, kind: enums.EndpointKind, present: Collection[str], alive: int, at: int) -> None:
        """Of one kind there are only these any more.

        Args:
            kind: Pods or nodes.
            present: Their uids.
            alive: Up to when nothing can have gone unseen, in ns since 1970.
            at: When that was known.
        """
        for uid, life in self._lives.items():
            if life.seen[-1].who.kind is kind and uid not in present:
                self._end(uid, lives.Gone(alive=alive, at=at))

    def own(self, owned: cluster.Owned) -> None:
        """Whom something belongs to that owns pods."""
        reference = (owned.kind, owned.namespace, owned.name)
        self._disowned.discard(reference)
        if self._owned.get(reference) != owned:
            self._owned[reference] = owned
            self._rename(reference)

    def disown(self, reference: workload.Reference) -> None:
        """Something that owned pods is gone; as long as there are pods that it names, it is remembered."""
        if not self._named_by.get(reference):
            self._owned.pop(reference, None)
        elif reference in self._owned:
            self._disowned.add(reference)

    def disown_others(self, kind: str, present: Collection[tuple[str, str]]) -> None:
        """Of what owns pods there is only this any more, by namespace and name."""
        for reference in [one for one in self._owned if one[0] == kind and one[1:] not in present]:
            self.disown(reference)

    def stand(self, node: str, zone: str) -> None:
        """Where a node stands."""
        if self._zones.get(node, "") != zone:
            self._zones[node] = zone
            self._rename(("Node", "", node))

    def prime(self, said: Mapping[str, list[identity.Claim]]) -> None:
        """What was said before, by uid, where nothing is known of how it was found."""
        for uid, claims in said.items():
            still = {claim.address for claim in claims if claim.valid_to == identity.FOREVER}
            if of_these := tuple(claim for claim in claims if claim.address in still):
                self._lives[uid] = _Life(-1, lives.remembered(of_these, self._clock), said=of_these)
                who = of_these[-1].identity
                if who.zone:  # or pods that are listed before their nodes would be without for a moment
                    self._zones.setdefault(who.node, who.zone)

    def said(self) -> list[identity.Claim]:
        """All claims that were made, as they were last."""
        return [claim for life in self._lives.values() for claim in life.said]

    def news(self) -> tuple[list[identity.Claim], dict[bytes, int]]:
        """What is new since this was last asked.

        Returns:
            Claims that are new or different, and those that never were; and since when each of their
            addresses is answered for in another way, in ns since 1970.
        """
        for uid in self._touched:
            self._say(uid)
        self._touched.clear()
        news, affected = self._news, self._affected
        self._news, self._affected = [], {}
        return news, affected

    def forget(self, before: int) -> None:
        """Let go of those that had ended by then, in ns since 1970; nothing is said of it."""
        for uid, life in list(self._lives.items()):
            ended = life.gone and max([life.gone.at, *(claim.valid_to for claim in life.said)]) < before
            if ended and uid not in self._touched:
                del self._lives[uid]
                for reference in _named_by(life):
                    self._forget_name(reference, uid)
        nodes = {life.seen[-1].who.node for life in self._lives.values()}
        for node in self._zones.keys() - nodes:
            del self._zones[node]

    def label_sets(self) -> set[int]:
        """The numbers of all label sets that were seen and are remembered."""
        return {one.who.labels_id for life in self._lives.values() for one in life.seen}

    def _forget_name(self, reference: workload.Reference, uid: str) -> None:
        """Nobody of that uid is named by something any more."""
        self._named_by[reference].discard(uid)
        if not self._named_by[reference]:
            del self._named_by[reference]
            if reference in self._disowned:
                self._disowned.remove(reference)
                self._owned.pop(reference, None)

    def _is_another(self, life: _Life, seen: lives.Seen) -> bool:
        """Whether somebody else has the uid now: where manifests lack one, the name alone is the same."""
        if not self._clock.exact:
            return False
        before = life.seen[-1].started
        return life.gone is not None or (0 not in (before, seen.started) and before != seen.started)

    def _end(self, uid: str, gone: lives.Gone) -> None:
        life = self._lives[uid]
        if life.gone is None:
            life.gone = gone
            self._touched.add(uid)

    def _rename(self, reference: workload.Reference) -> None:
        """Something was learned by which pods are named."""
        for uid in self._named_by.get(reference, ()):
            life = self._lives[uid]
            last = life.seen[-1]
            who = dataclasses.replace(last.who, zone=self._zones.get(last.who.node, ""))
            if life.owner and (owned := self._owned.get(life.owner)):
                kind, name = workload.top(owned)
                who = dataclasses.replace(who, workload_kind=kind, workload=name)
            if who != last.who:
                life.seen[-1] = dataclasses.replace(last, who=who)
                self._touched.add(uid)

    def _say(self, uid: str) -> None:
        life = self._lives[uid]
        said = tuple(lives.claims(uid, life.seen, life.gone, self._clock))
        before = {(claim.address, claim.valid_from): claim for claim in life.said}
        now = {(claim.address, claim.valid_from): claim for claim in said}
        for key in before.keys() | now.keys():
            old, new = before.get(key), now.get(key)
            if old != new:
                self._news.append(new or _taken_back(before[key]))
                since = differs_from(old, new) if old and new else key[1]
                self._affected[key[0]] = min(since, self._affected.get(key[0], since))
        life.said = said


def _taken_back(claim: identity.Claim) -> identity.Claim:
    at = claim.valid_from
    return dataclasses.replace(claim, sure_from=at, sure_to=at, valid_to=at)


def differs_from(old: identity.Claim, new: identity.Claim) -> int:
    """Since when two claims with one beginning are not the same, in ns since 1970."""
    if old.identity != new.identity:
        return new.valid_from
    ends = [(old.sure_from, new.sure_from), (old.sure_to, new.sure_to), (old.valid_to, new.valid_to)]
    return min(min(pair) for pair in ends if pair[0] != pair[1])


def _named_by(life: _Life) -> Iterable[workload.Reference]:
    """What a life's identity depends on."""
    who = life.seen[-1].who
    if life.owner and life.owner[0] in workload.BETWEEN:
        yield life.owner
    if who.pod and who.node:
        yield "Node", "", who.node
