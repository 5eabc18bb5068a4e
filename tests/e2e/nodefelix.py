"""Plays the Felix of a node of the lab: reads what its rules log, and tells of it as Felix does.

Felix itself cannot run here. This speaks its protocol (goldmane/proto/api.proto) and works as it does: what
rules log is put together by five-tuple, waits for five seconds, and is told of in windows, by workload,
without addresses or source ports; what goes on is told of again (Calico's felix/collector). It has its own
names, of the lab's manifests, and nothing of the collector but the reading of netlink.
"""

from __future__ import annotations

import collections
import dataclasses
import ipaddress
import os
import pathlib
import sys
import threading
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "collector" / "felix"))

from collector.conntrack import source as conntrack
from collector.nflog import source as nflog
from model import address, cluster, enums, manifest, policyhit

SECOND = 1_000_000_000
DELAY, FLUSH, IDLE = 5 * SECOND, 5 * SECOND, 10 * SECOND
SETS = {"203.0.113.0/24": "card-network", "2001:db8:113::/48": "card-network",
        "169.254.169.254/32": "cloud-metadata", "fd00:ec2::254/128": "cloud-metadata"}  # fmt: skip
_GENERATED = {"ReplicaSet", "Job", "DaemonSet", "StatefulSet"}
_PRIVATE = [ipaddress.ip_network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp"}
_KINDS = {"np": "CalicoNetworkPolicy", "gnp": "GlobalNetworkPolicy", "knp": "NetworkPolicy", "pro": "Profile",
          "end-of-tier": "EndOfTier"}  # fmt: skip

Five = tuple[bytes, bytes, int, int, int]


@dataclasses.dataclass
class Seen:
    """What was logged of one five-tuple."""

    first: int
    last: int
    ends: tuple[tuple[str, str, str], tuple[str, str, str]]
    sequence: int
    hits: dict[enums.Direction, list[policyhit.PolicyHit]] = dataclasses.field(
        default_factory=lambda: collections.defaultdict(list)
    )
    told: bool = False


class Names:
    """The lab's pods by address, as the manifests have them just now."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._pods: dict[str, list[cluster.Pod]] = {}

    def learn(self) -> None:
        """Read the manifests again."""
        found = collections.defaultdict(list)
        for pod in cluster.read(manifest.load(self._folder)).pods:
            for one in pod.addresses:
                found[one].append(pod)
        self._pods = found

    def end(self, packed: bytes, at: int) -> tuple[str, str, str]:
        """Type, namespace and name of whom an address belonged to at a time."""
        text = address.render(packed)
        for pod in self._pods.get(text, ()):
            if pod.started <= at and (not pod.deleted or at < pod.deleted):
                made = f"{pod.name.rpartition('-')[0]}-*" if pod.owner_kind in _GENERATED else pod.name
                return "WorkloadEndpoint", pod.namespace, made
        one = ipaddress.ip_address(text)
        for net, name in SETS.items():
            if one.version == ipaddress.ip_network(net).version and one in ipaddress.ip_network(net):
                return "NetworkSet", "-", name
        private = one.version == 4 and any(one in net for net in _PRIVATE)
        return "Network", "-", "pvt" if private else "pub"


class Felix(threading.Thread):
    """The Felix of one node.

    Args:
        netns: The node's network namespace.
        socket: Where it tells.
        manifests: The cluster's manifests.
    """

    def __init__(self, netns: pathlib.Path, socket: pathlib.Path, manifests: pathlib.Path) -> None:
        super().__init__(name=f"felix {netns.name}", daemon=True)
        self._netns, self._socket = netns, socket
        self._names = Names(manifests)
        self._log = nflog.Source(netns, (1, 2), receive_buffer=8 << 20, capacity=500_000)
        self._seen: dict[Five, Seen] = {}
        self._ending = threading.Event()
        self._began = time.time_ns()
        self._mute = os.environ.get("NODEFELIX_MUTE", "")
        """A word in the names of whom nothing is told."""

    def end(self) -> None:
        """Tell the last, and end."""
        self._ending.set()
        self.join()

    def run(self) -> None:
        """Read each half second, and tell each five."""
        import felixlike  # gRPC is for this process alone

        self._log.start()
        while not self._socket.exists():
            time.sleep(0.1)
        with felixlike.Felix(self._socket) as client:
            due = time.time_ns() + FLUSH
            while not self._ending.is_set():
                self._ending.wait(0.5)
                self._read()
                if time.time_ns() >= due:
                    due += FLUSH
                    client.push(*self._window(DELAY))
            self._read()
            client.push(*self._window(0))
        self._log.stop()

    def _read(self) -> None:
        self._names.learn()
        packets, prefixes = self._log.read()
        for packet in packets:
            hit = policyhit.parse_prefix(prefixes[packet["prefix"]])
            if hit is not None:
                self._take(packet, hit)

    def _take(self, packet: Any, hit: policyhit.PolicyHit) -> None:
        at = int(packet["time"])
        src, dst = packet["src"].tobytes(), packet["dst"].tobytes()
        pinged = int(packet["icmp_id"])
        five = src, dst, int(packet["protocol"]), int(packet["src_port"]) or pinged, int(packet["dst_port"])
        known = self._seen.get(five)
        if known is None or known.sequence != int(packet["tcp_sequence"]):
            ends = self._names.end(src, at), self._names.end(dst, at)
            known = self._seen[five] = Seen(at, at, ends, int(packet["tcp_sequence"]))
        known.last = at
        if hit not in known.hits[hit.direction]:
            known.hits[hit.direction].append(hit)

    def _window(self, delay: int) -> list[bytes]:
        """What is to be told now."""
        now = time.time_ns()
        living = {
            (one["src"].tobytes(), one["dst"].tobytes(), int(one["protocol"]),
             int(one["src_port"]) or int(one["icmp_id"]), int(one["dst_port"]))
            for piece in conntrack.snapshot(self._netns) for one in piece.connections
        }  # fmt: skip
        flows: dict[bytes, int] = collections.Counter()
        for five, seen in list(self._seen.items()):
            silent = self._mute and any(name.startswith(self._mute) for _, _, name in seen.ends)
            if silent or now - seen.first < delay:
                continue
            if not seen.told or five in living:
                for direction, hits in seen.hits.items():
                    if message := _key(five, seen, direction, hits):
                        flows[message] += not seen.told
                seen.told = True
            elif now - seen.last > IDLE:
                del self._seen[five]
        began, self._began = self._began, now
        return [_update(key, began, count) for key, count in flows.items()]


def _key(five: Five, seen: Seen, direction: enums.Direction, hits: list[policyhit.PolicyHit]) -> bytes | None:
    """The flow's key; None where nothing was decided yet."""
    from collector.goldmane import goldmane_pb2 as api

    decided = [hit.action for hit in hits if hit.action != enums.Action.PASS]
    if not decided:
        return None
    (src_type, src_namespace, src), (dst_type, dst_namespace, dst) = seen.ends
    told = [_hit(place, hit) for place, hit in enumerate(hits)]
    key = api.FlowKey(
        source_name=src, source_namespace=src_namespace, source_type=src_type,
        dest_name=dst, dest_namespace=dst_namespace, dest_type=dst_type, dest_port=five[4],
        proto=_PROTOCOLS.get(five[2], str(five[2])), dest_service_name="-", dest_service_namespace="-",
        dest_service_port_name="-",
        reporter=api.Reporter.Value("Dst" if direction == enums.Direction.INGRESS else "Src"),
        action=api.Action.Value(decided[-1].capitalize()),
        # in no order, as Go's maps have none
        policies=api.PolicyTrace(enforced_policies=told[::-1], pending_policies=told),
    )  # fmt: skip
    message: bytes = key.SerializeToString(deterministic=True)
    return message


def _hit(place: int, hit: policyhit.PolicyHit) -> Any:
    from collector.goldmane import goldmane_pb2 as api

    made = api.PolicyHit(
        kind=api.PolicyKind.Value(_KINDS[hit.kind]), namespace=hit.namespace, name=hit.name,
        tier="" if hit.kind == policyhit.PROFILE else hit.tier, policy_index=place, rule_index=hit.rule,
        action=api.Action.Value(hit.action.capitalize()),
    )  # fmt: skip
    if hit.kind == policyhit.END_OF_TIER:
        made.trigger.CopyFrom(api.PolicyHit(kind=api.PolicyKind.Value("GlobalNetworkPolicy"), name="some"))
    return made


def _update(key: bytes, began: int, started: int) -> bytes:
    from collector.goldmane import goldmane_pb2 as api

    seconds = began // SECOND
    flow = api.Flow(
        start_time=seconds, end_time=seconds, num_connections_started=started, num_connections_live=1
    )
    flow.Key.ParseFromString(key)
    message: bytes = api.FlowUpdate(flow=flow).SerializeToString()
    return message
