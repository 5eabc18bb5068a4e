"""Connections that somebody asks about, one by one, and the answers in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from model import address, cluster, enums, manifest, policyhit
from policy import evaluate, fields, objects, program, world

_WITH_PORTS = (enums.Protocol.TCP, enums.Protocol.UDP, enums.Protocol.SCTP, enums.Protocol.UDPLITE)
_ECHO: dict[int, int] = {enums.Protocol.ICMP: 8, enums.Protocol.ICMPV6: 128}
"""What is asked about where nobody says which message: a ping."""
_FAMILY: dict[int, int] = {enums.Protocol.ICMP: 4, enums.Protocol.ICMPV6: 6}
_EXPECTED = {"allow": False, "allowed": False, "deny": True, "denied": True}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A connection.

    Attributes:
        src: ``namespace/name`` of a pod, or of a workload for one of its pods, or an address; and ``dst``.
        family: 4 or 6 where it is between two pods; 0 for whichever both have, IPv4 first.
        expect: Whether it should be denied; None where nobody says.
    """

    src: str
    dst: str
    protocol: int = enums.Protocol.TCP
    port: int = 0
    src_port: int = 0
    icmp_type: int = 0
    icmp_code: int = 0
    family: int = 0
    expect: bool | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """What the policies of one endpoint on the way say.

    Attributes:
        direction: Which of its rules were asked.
        host: Name of the host endpoint; empty for a pod.
        decided: Whether they have allowed or denied it.
        selecting: Those that select the endpoint, and are asked there.
    """

    direction: enums.Direction
    chain: program.Chain
    host: str
    decided: bool
    denied: bool
    hits: tuple[policyhit.PolicyHit, ...]
    selecting: tuple[objects.Policy, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What both directions say about a query; no hits where a direction has no say.

    Attributes:
        pending: Whether it would be denied if all that is staged were enforced; None where nothing is staged.
        out: Of each endpoint on the way out what it says, as far as it is asked.
        into: Of each on the way in.
    """

    query: Query
    denied: bool
    egress: tuple[policyhit.PolicyHit, ...]
    ingress: tuple[policyhit.PolicyHit, ...]
    pending: bool | None = None
    out: tuple[Said, ...] = ()
    into: tuple[Said, ...] = ()

    @property
    def isolated_out(self) -> tuple[str, ...]:
        """The policies that select the source where the end of their tier has decided."""
        return _isolating(self.out)

    @property
    def isolated_in(self) -> tuple[str, ...]:
        """Those that select the destination."""
        return _isolating(self.into)


def read(field: manifest.Field) -> Query:
    """A query as people write it.

    Raises:
        ManifestError: If it is none.
    """
    known = ("src", "dst", "protocol", "port", "srcPort", "icmpType", "icmpCode", "family", "expect")
    field.only(*known)
    protocol = fields.protocol(field.get("protocol"))
    protocol = int(enums.Protocol.TCP) if protocol is None else protocol
    port = field.get("port")
    if port is None and protocol in _WITH_PORTS:
        raise field.error("needs a port")
    expected, family = field.get("expect"), field.get("family")
    if family and family.value not in (4, 6):
        raise family.error("must be 4 or 6")
    return Query(
        src=_end(field.require("src")), dst=_end(field.require("dst")), protocol=protocol,
        port=port.integer(0, 65535) if port else 0, src_port=_number(field, "srcPort", 65535),
        icmp_type=_number(field, "icmpType", 255, _ECHO.get(protocol, 0)),
        icmp_code=_number(field, "icmpCode", 255),
        family=family.integer(4, 6) if family else 0,
        expect=_EXPECTED[expected.one_of(*_EXPECTED)] if expected else None,
    )  # fmt: skip


def _number(field: manifest.Field, name: str, most: int, default: int = 0) -> int:
    found = field.get(name)
    return found.integer(0, most) if found else default


def _end(field: manifest.Field) -> str:
    if isinstance(field.value, str):
        return field.value
    pod, ip = (field.only("pod", "ip").get(name) for name in ("pod", "ip"))
    if (pod is None) == (ip is None):
        raise field.error("must have one of pod, ip")
    found = pod or ip
    assert found  # noqa: S101  # one of the two
    if ip:
        try:
            address.pack(ip.text())
        except ValueError:
            raise ip.error(f"must be an IP address, is {ip.value!r}") from None
    return found.text()


class Asker:
    """Puts queries to an engine.

    Args:
        engine: The policies.
    """

    def __init__(self, engine: evaluate.Engine) -> None:
        self._engine = engine
        self._pending = engine.pending()
        self._hosts = {
            f"{pod.namespace}/{pod.name}": pod.addresses
            for pod in engine.cluster.pods if pod.host_network
        }  # fmt: skip
        self._pods = {f"{pod.namespace}/{pod.name}": i for i, pod in enumerate(engine.world.pods)}
        self._workloads = self._owned(_owner)
        for name, numbers in self._owned(_stem).items():
            self._workloads.setdefault(name, numbers)  # a name as it is written comes first
        self._owners = {
            address.pack(text): i
            for i, pod in enumerate(engine.world.pods) for text in world.addresses(pod).values()
        }  # fmt: skip

    def ask(self, queries: Sequence[Query]) -> list[Answer]:
        """An answer to each query.

        Raises:
            LookupError: If a pod is not there, or its ends have no address of one family.
        """
        pairs = [self.ends(query) for query in queries]
        ends = list(dict.fromkeys(end for pair in pairs for end in pair))
        number = {end: i for i, end in enumerate(ends)}
        edges = evaluate.Edges(
            ends=world.Ends(
                np.array([pod for pod, _ in ends], np.int32),
                np.frombuffer(b"".join(packed for _, packed in ends), np.uint8).reshape(-1, 16),
            ),
            src=np.array([number[src] for src, _ in pairs], np.int32),
            dst=np.array([number[dst] for _, dst in pairs], np.int32),
            protocol=_column(query.protocol for query in queries),
            src_port=_column(query.src_port for query in queries),
            dst_port=_column(query.port for query in queries),
            icmp_type=_column(query.icmp_type for query in queries),
            icmp_code=_column(query.icmp_code for query in queries),
        )  # fmt: skip
        judged = self._engine.judge(edges)
        pending = self._pending.judge(edges).denied.tolist() if self._pending else [None] * len(edges)
        rows = zip(
            queries, judged.denied.tolist(), self._engine.trace(judged.egress.traces),
            self._engine.trace(judged.ingress.traces), pending, strict=True,
        )  # fmt: skip
        said = [self._said(side.parts, len(edges)) for side in (judged.egress, judged.ingress)]
        return [Answer(*row, *both) for row, *both in zip(rows, *said, strict=True)]

    def _said(self, parts: Sequence[evaluate.Part], count: int) -> list[tuple[Said, ...]]:
        found: list[list[Said]] = [[] for _ in range(count)]
        for part in parts:
            hits = self._engine.trace(part.traces)
            for i in np.flatnonzero(part.judged).tolist():
                subject = int(part.subjects[i])
                host = self._engine.world.hosts.endpoints[subject].name if part.hosts else ""
                found[i].append(Said(
                    part.direction, part.chain, host, bool(part.decided[i]), bool(part.denied[i]), hits[i],
                    self._engine.selecting_at(part, subject),
                ))  # fmt: skip
        return [tuple(one) for one in found]

    def _owned(self, name: Callable[[cluster.Pod], str]) -> dict[str, list[int]]:
        """The pods of each workload, by a name of it."""
        found: dict[str, list[int]] = {}
        for pod in self._engine.cluster.pods:
            number = self._pods.get(f"{pod.namespace}/{pod.name}")
            if number is not None and (of := name(pod)):
                found.setdefault(f"{pod.namespace}/{of}", []).append(number)
        return found

    def ends(self, query: Query) -> tuple[tuple[int, bytes], tuple[int, bytes]]:
        """Source and destination: number of the pod, or `world.NOBODY`, and 16 bytes of address.

        Raises:
            LookupError: If one is not there, or they have no address of one family.
        """
        sources, targets = self._end(query.src), self._end(query.dst)
        only = _FAMILY.get(query.protocol, 0)
        if query.family and only and query.family != only:
            raise LookupError(f"{enums.protocol_name(query.protocol)} is not of IPv{query.family}")
        wanted = query.family or only
        for family in (wanted,) if wanted else (4, 6):
            if family in sources and family in targets:
                return sources[family], targets[family]
        of = f"an IPv{wanted} address" if wanted else "addresses of one family, IPv4 or IPv6"
        raise LookupError(f"{query.src} and {query.dst} do not both have {of}")

    def _end(self, text: str) -> dict[int, tuple[int, bytes]]:
        """The end by address family."""
        if "/" in text:
            numbers = [self._pods[text]] if text in self._pods else self._workloads.get(text, [])
            if numbers:
                return {
                    family: (number, address.pack(one)) for number in reversed(numbers)
                    for family, one in world.addresses(self._engine.world.pods[number]).items()
                }  # fmt: skip
            if text in self._hosts:
                return {
                    6 if ":" in one else 4: (world.NOBODY, address.pack(one)) for one in self._hosts[text]
                }
            raise LookupError(f"no pod or workload {text} with an address of its own or of its node")
        try:
            packed = address.pack(text)
        except ValueError:
            raise LookupError(f"{text!r} is neither namespace/name of a pod nor an IP address") from None
        return {6 if ":" in text else 4: (self._owners.get(packed, world.NOBODY), packed)}


def _owner(pod: cluster.Pod) -> str:
    """The name of what owns a pod; empty where nothing does."""
    return pod.owner_name


def _stem(pod: cluster.Pod) -> str:
    """A ReplicaSet by its Deployment's name, a Job by its CronJob's; empty of others."""
    return pod.owner_name.rpartition("-")[0] if pod.owner_kind in ("ReplicaSet", "Job") else ""


def _isolating(said: Sequence[Said]) -> tuple[str, ...]:
    if not said or not said[-1].hits or said[-1].hits[-1].kind != policyhit.END_OF_TIER:
        return ()
    tier = said[-1].hits[-1].tier
    return tuple(policy.identity for policy in said[-1].selecting if policy.tier == tier)


def _column(values: Iterable[int]) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.fromiter(values, np.int32)
