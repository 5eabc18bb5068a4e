"""A node with three pods, Calico's rules for it in every form, and traffic that tells the rules apart."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.util
import pathlib
import socket
import subprocess
from collections.abc import Callable, Iterator

import pytest
import yaml

from collector.counters import iptables
from collector.counters import rules as counter_rules
from lab import namespaces, network, rules
from model import chainnames, cluster, enums, manifest, policyhit
from policy import objects, owners, parse, prefixes

INGRESS, EGRESS = enums.Direction.INGRESS, enums.Direction.EGRESS
ALLOW, DENY, PASS = enums.Action.ALLOW, enums.Action.DENY, enums.Action.PASS

MANIFESTS = """
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: ops}
spec: {order: 10, defaultAction: Pass}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: guard-against-old-things}
spec:
  tier: ops
  selector: app == 'web'
  types: [Ingress]
  ingress:
  - {action: Log, protocol: UDP, destination: {ports: [5000]}}
  - {action: Pass, protocol: UDP, destination: {ports: [5001]}}
  - {action: Deny, protocol: UDP, destination: {ports: [5002]}}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  order: 1
  selector: app == 'web'
  types: [Ingress]
  ingress:
  - {action: Allow, protocol: UDP, source: {selector: app == 'frontend'}, destination: {ports: [6000]}}
  - {action: Allow, ipVersion: 6, protocol: UDP, destination: {ports: [6010]}}
  - {action: Deny, protocol: UDP, destination: {ports: [6001]}}
  - {action: Allow, protocol: UDP, destination: {ports: [7000, 7002, 7004, 7006, 7008, 7010, 7012, 7014,
      7016, 7018, 7020, 7022, 7024, 7026, 7028, 7030]}}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: more, namespace: shop}
spec:
  order: 2
  selector: app == 'web'
  types: [Ingress]
  ingress:
  - {action: Allow, protocol: UDP, destination: {ports: [53]}}
"""

PODS = {
    name: cluster.Pod(
        namespace="shop", name=name, node="node-1", labels={"app": name.partition("-")[0]},
        addresses=(f"10.65.0.{last}", f"fd65::{last}"),
    )
    for name, last in (("web-0", 20), ("frontend-0", 10), ("batch-0", 30))
}  # fmt: skip

TRAFFIC = {5000: 1, 5001: 1, 5002: 2, 6000: 3, 6001: 1, 7004: 2, 53: 1}
"""Port of web-0 → how many datagrams frontend-0 sends there; nobody answers, so each asks the rules."""
_SENT = sum(TRAFFIC.values())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One way in which Calico writes the same policies for iptables.

    Attributes:
        version: Whose names of chains: 3.32, 3.31 or 3.28.
        logs: Whether rules log to NFLOG groups; before 3.30 none does.
        drop_mark: Whether a denial marks the packet first; before 3.30 it drops at once.
        lowest: The lowest mark bit.
    """

    version: str = "3.32"
    logs: bool = True
    drop_mark: bool = True
    lowest: int = 0x10000

    @property
    def tiers(self) -> bool:
        return self.version != "3.28"

    def render(self, family: int = 4) -> str:
        """What ``iptables-restore`` reads."""
        return _Iptables(self, family).render()

    def expected(self) -> dict[policyhit.PolicyHit, int]:
        """Packets by hit after ``Node.talk``."""
        found = {
            hit("np", "web", ALLOW, 0): 3, hit("np", "web", DENY, 2): 1, hit("np", "web", ALLOW, 3): 2,
            hit("np", "more", ALLOW, 0): 1, prefixes.no_profile(INGRESS): 1,
            prefixes.profile_hit("shop", EGRESS): _SENT + 1,
        }  # fmt: skip
        if not self.tiers:
            return found | {prefixes.end_of_tier("default", INGRESS, DENY): 4}
        found |= {GUARD[PASS]: 1, GUARD[DENY]: 2, prefixes.end_of_tier("default", INGRESS, DENY): 2}
        return found | ({prefixes.end_of_tier("ops", INGRESS, PASS): 8} if self.logs else {})


def hit(kind: str, name: str, action: enums.Action, rule: int) -> policyhit.PolicyHit:
    """A hit of a policy of namespace shop."""
    return policyhit.PolicyHit(
        direction=INGRESS, tier="default", kind=kind, namespace="shop", name=name, action=action, rule=rule
    )


GUARD = {
    action: policyhit.PolicyHit(
        direction=INGRESS, tier="ops", kind="gnp", name="guard-against-old-things", action=action, rule=rule
    )
    for action, rule in ((PASS, 1), (DENY, 2))
}


class _Iptables:
    """Chains of one generation: policies of web-0, the profile of frontend-0, and none for batch-0."""

    def __init__(self, generation: Generation, family: int) -> None:
        self._generation, self._family = generation, family
        self._chains: dict[str, list[str]] = {}
        bits = [generation.lowest << i for i in range(5)]
        self._accept, self._pass = bits[:2]
        self._drop, self._scratch = (bits[2], bits[3]) if generation.drop_mark else (0, bits[2])

    def render(self) -> str:
        frontend, web, batch = (rules.interface_name("shop", n) for n in ("frontend-0", "web-0", "batch-0"))
        self._profiles()
        self._endpoint(f"cali-tw-{web}", self._tiers(), INGRESS)
        self._endpoint(f"cali-tw-{batch}", [], INGRESS)
        profile = [self._jump(self._profile(EGRESS)), self._return("Return if profile accepted")]
        self._endpoint(f"cali-fw-{frontend}", profile, EGRESS)
        unknown = '-m comment --comment "Unknown interface" -j DROP'
        self._chains["cali-from-wl-dispatch"] = [f"-i {frontend} -g cali-fw-{frontend}", unknown]
        self._chains["cali-to-wl-dispatch"] = [f"-o {i} -g cali-tw-{i}" for i in (web, batch)] + [unknown]
        self._chains["cali-FORWARD"] = [
            self._clear(self._pass), "-i cali+ -j cali-from-wl-dispatch", "-o cali+ -j cali-to-wl-dispatch",
        ]  # fmt: skip
        accepted = (
            f'-m comment --comment "Policy explicitly accepted packet." -m mark --mark {_bit(self._accept)}'
        )
        self._chains["FORWARD"] = ["-j cali-FORWARD", f"{accepted} -j ACCEPT", self._set(self._accept)]
        lines = ["*filter", *(f":{name} - [0:0]" for name in self._chains if name != "FORWARD")]
        for name, bodies in self._chains.items():
            lines += _hashed(name, bodies)
        return "\n".join([*lines, "COMMIT", ""])

    def _tiers(self) -> list[str]:
        lines = []
        if self._generation.tiers:
            guard = self._policy("ops", "gnp", "", "guard-against-old-things", [
                ("-p udp -m udp --dport 5000", None, 0), ("-p udp -m udp --dport 5001", PASS, 1),
                ("-p udp -m udp --dport 5002", DENY, 2),
            ])  # fmt: skip
            lines += [
                *self._start("ops"),
                self._jump(guard, self._pass),
                self._return("Return if policy accepted"),
            ]
            lines += self._log("PPI|ops", INGRESS, f"-m mark --mark 0x0/{self._pass:#x}")
        source = "10.65.0.10/32" if self._family == 4 else "fd65::10/128"
        only_ipv6 = [("-p udp -m udp --dport 6010", ALLOW, 1)] if self._family == 6 else []
        web = self._policy("default", "np", "shop", "web", [
            (f"-s {source} -p udp -m udp --dport 6000", ALLOW, 0), *only_ipv6,
            ("-p udp -m udp --dport 6001", DENY, 2), (f"-m mark --mark {_bit(self._scratch)}", ALLOW, 3),
        ])  # fmt: skip
        more = self._policy("default", "np", "shop", "more", [("-p udp -m udp --dport 53", ALLOW, 0)])
        neither = self._accept | self._pass
        group = "cali-gi-t0Yw2hS4kzQfS6nLmXbP"
        self._chains[group] = [self._jump(web, neither), self._jump(more, neither)]
        lines += [
            *self._start("default"),
            self._jump(group, self._pass),
            self._return("Return if policy accepted"),
        ]
        open_ = f"-m mark --mark 0x0/{self._pass:#x}"
        lines += self._log("DPI|default", INGRESS, open_)
        said = "Drop if no policies passed packet"
        said = f"End of tier default. {said}" if self._generation.drop_mark else said
        return [*lines, f'-m comment --comment "{said}" {open_} -j DROP']

    def _start(self, tier: str) -> list[str]:
        words = f"Start of tier {tier}" if self._generation.tiers else "Start of policies"
        return [f'-m comment --comment "{words}" {self._clear(self._pass)}']

    def _policy(
        self,
        tier: str,
        kind: str,
        namespace: str,
        name: str,
        bodies: list[tuple[str, enums.Action | None, int]],
    ) -> str:
        """A chain of these rules; the match on scratch bits gets the block that sets them before it."""
        v1 = chainnames.v1_name(kind, namespace, tier, name)
        suffix = {
            "3.32": "/".join(p for p in (kind, namespace, name) if p),
            "3.31": f"{tier}/{v1}",
            "3.28": v1,
        }
        chain = chainnames.limited("cali-pi-", suffix[self._generation.version], 28)
        word = {"np": "NetworkPolicy", "gnp": "GlobalNetworkPolicy"}[kind]
        owner = "/".join(part for part in (namespace, name) if part)
        title = f"{word} {owner} ingress" if self._generation.version == "3.32" else f"Policy {v1} ingress"
        lines: list[str] = []
        for match, action, index in bodies:
            if _bit(self._scratch) in match:
                lines += [
                    self._clear(self._scratch | self._scratch << 1),
                    f"-p udp -m multiport --dports 7000,7002,7004,7006 {self._set(self._scratch)}",
                    f"-p udp -m multiport --dports 7008,7010:7030 {self._set(self._scratch)}",
                ]
                match = f"-p udp {match}"
            identity = suffix["3.32"] if self._generation.version == "3.32" else v1
            lines += self._rule(match, action, f"PI{index}|{identity}", INGRESS)
        self._chains[chain] = [f'-m comment --comment "{title}" {lines[0]}', *lines[1:]]
        return chain

    def _rule(
        self, match: str, action: enums.Action | None, prefix: str, direction: enums.Direction
    ) -> list[str]:
        if action is None:
            return [f'{match} -j LOG --log-prefix "calico-packet: "']
        bit = {ALLOW: self._accept, PASS: self._pass, DENY: self._drop}[action]
        if not bit:
            return [f"{match} -j DROP"]
        marked = f"-m mark --mark {_bit(bit)}"
        log = self._log(policyhit.limit_prefix(action[0].upper() + prefix), direction, marked)
        return [f"{match} {self._set(bit)}", *log, f"{marked} -j {'DROP' if action == DENY else 'RETURN'}"]

    def _profiles(self) -> None:
        for direction in (INGRESS, EGRESS):
            rule = self._rule("", ALLOW, f"R{direction[0].upper()}0|kns.shop", direction)
            lines = [f'-m comment --comment "Profile kns.shop {direction}" {rule[0]}', *rule[1:-1]]
            self._chains[self._profile(direction)] = lines

    def _profile(self, direction: enums.Direction) -> str:
        return chainnames.PROFILE[direction] + "kns.shop"

    def _endpoint(self, name: str, body: list[str], direction: enums.Direction) -> None:
        said = '-m comment --comment "Drop if no profiles matched" -j DROP'
        self._chains[name] = [
            "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-m conntrack --ctstate INVALID -j DROP",
            self._clear(self._accept | self._pass), *body,
            *self._log(f"DR{direction[0].upper()}", direction, ""), said,
        ]  # fmt: skip

    def _log(self, prefix: str, direction: enums.Direction, match: str) -> list[str]:
        group = rules.NFLOG_GROUPS[direction]
        words = f'-j NFLOG --nflog-prefix "{prefix}" --nflog-group {group} --nflog-size 80'
        return [f"{match} {words}"] if self._generation.logs else []

    def _jump(self, chain: str, unless: int = 0) -> str:
        return f"-m mark --mark 0x0/{unless:#x} -j {chain}" if unless else f"-j {chain}"

    def _return(self, comment: str) -> str:
        return f'-m comment --comment "{comment}" -m mark --mark {_bit(self._accept)} -j RETURN'

    def _set(self, bit: int) -> str:
        return f"-j MARK --set-xmark {_bit(bit)}"

    def _clear(self, bits: int) -> str:
        return f"-j MARK --set-xmark 0x0/{bits:#x}"


def _bit(bit: int) -> str:
    return f"{bit:#x}/{bit:#x}"


def _hashed(chain: str, bodies: list[str]) -> Iterator[str]:
    """The chain's lines with Calico's hash of each, which all lines before it are part of."""
    digest = hashlib.sha224(chain.encode()).digest()
    for body in bodies:
        digest = hashlib.sha224(digest + f"-A {chain} HASH {body}".encode()).digest()
        yield f'-A {chain} -m comment --comment "cali:{chainnames.encode(digest)[:16]}" {body}'


class Node:
    """A node's namespace, and those of its pods."""

    def __init__(self, made: network.Network) -> None:
        self._made = made
        self.path = made.path("node-1")

    def run(self, *command: str, text: str = "") -> str:
        """Run a command on the node; what it printed."""
        done = namespaces.within(self.path, lambda: subprocess.run(
            command, input=text, capture_output=True, text=True, check=False
        ))  # fmt: skip
        assert done.returncode == 0, f"{done.stderr}\n{text}"
        return done.stdout

    def send(self, pod: str, port: int, count: int = 1, family: int = 4) -> None:
        """Let frontend-0 send datagrams to another pod, always from the same port."""
        kind = socket.AF_INET if family == 4 else socket.AF_INET6
        path = self._made.pod_path(PODS["frontend-0"])
        with namespaces.within(path, lambda: socket.socket(kind, socket.SOCK_DGRAM)) as opened:
            for _ in range(count):
                with contextlib.suppress(OSError):  # a refusal of the one before
                    opened.sendto(b"x" * 100, (PODS[pod].addresses[family == 6], port))

    def talk(self, family: int = 4) -> None:
        """Send all of ``TRAFFIC``, and one datagram to batch-0."""
        for port, count in TRAFFIC.items():
            self.send("web-0", port, count, family)
        self.send("batch-0", 9, 1, family)


@contextlib.contextmanager
def made_node(folder: pathlib.Path) -> Iterator[Node]:
    """A node with its pods and no rules, whose namespaces are mounted in the folder."""
    made = network.Network(folder / "network")
    with contextlib.ExitStack() as stack:
        made._create("node-1", network._NODE)
        stack.callback(namespaces.remove, made.path("node-1"))
        for pod in PODS.values():
            made.add_pod(pod)
            stack.callback(namespaces.remove, made.pod_path(pod))
        yield Node(made)


def parsed() -> objects.PolicySet:
    """The policies, as their manifests say them."""
    texts = enumerate(yaml.safe_load_all(MANIFESTS), 1)
    return parse.parse([manifest.Document("policies.yaml", i, body) for i, body in texts])


def lab_rules(policies: objects.PolicySet) -> Callable[[int], str]:
    """The lab's own rendering for nftables, of an address family."""
    world = rules.World(cluster=cluster.Cluster(pods=tuple(PODS.values())), policies=policies)
    return lambda family: rules.table(world, "node-1", family).render()


@pytest.fixture
def node(tmp_path: pathlib.Path) -> Iterator[Node]:
    """A node with its pods and no rules."""
    with made_node(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def known() -> tuple[dict[str, policyhit.PolicyHit], dict[str, chainnames.Owner]]:
    """What is known of the policies: prefixes and chains."""
    policies = parsed()
    return prefixes.table(policies, ["shop"]), owners.table(policies, ["shop"])


@pytest.fixture(scope="session")
def calico_nft() -> Callable[[int], str]:
    """The lab's own rendering for nftables, of an address family."""
    return lab_rules(parsed())


GENERATIONS = {
    "3.32 with flow logs": Generation(),
    "3.32 without flow logs": Generation(logs=False),
    "3.31 with other mark bits": Generation(version="3.31", lowest=0x100),
    "3.31 without flow logs": Generation(version="3.31", logs=False),
    "3.29": Generation(version="3.31", logs=False, drop_mark=False),
    "3.28": Generation(version="3.28", logs=False, drop_mark=False),
}


@pytest.fixture(scope="session")
def generations() -> dict[str, Generation]:
    """All of them by name."""
    return GENERATIONS


@pytest.fixture(params=GENERATIONS)
def generation(request: pytest.FixtureRequest) -> Generation:
    """Each way to write the rules."""
    return GENERATIONS[request.param]


KUBE_ROUTER = """*filter
:KUBE-NWPLCY-6ZZC7CVYN2U5KWPT - [0:0]
:KUBE-NWPLCY-DEFAULT - [0:0]
:KUBE-POD-FW-DVXGEUNYX2M3L6BW - [0:0]
:KUBE-ROUTER-FORWARD - [0:0]
-A FORWARD -m comment --comment "kube-router netpol - TEMCG2JMHZYE7H7T" -j KUBE-ROUTER-FORWARD
-A KUBE-ROUTER-FORWARD -d 10.65.0.20/32 -m comment --comment "{to_pod}" -j KUBE-POD-FW-DVXGEUNYX2M3L6BW
-A KUBE-ROUTER-FORWARD -m comment --comment "rule to explicitly ACCEPT traffic that comply to network policies" -m mark --mark 0x20000/0x20000 -j ACCEPT
-A KUBE-NWPLCY-6ZZC7CVYN2U5KWPT -p udp -m comment --comment "{pods}" -m set --match-set {peers} src -m set --match-set {own} dst -m udp --dport 6000 -j MARK --set-xmark 0x10000/0x10000
-A KUBE-NWPLCY-6ZZC7CVYN2U5KWPT -p udp -m comment --comment "{pods}" -m set --match-set {peers} src -m set --match-set {own} dst -m udp --dport 6000 -m mark --mark 0x10000/0x10000 -j RETURN
-A KUBE-NWPLCY-6ZZC7CVYN2U5KWPT -p udp -m comment --comment "{anyone}" -m set --match-set {own} dst -m udp --dport 53 -j MARK --set-xmark 0x10000/0x10000
-A KUBE-NWPLCY-6ZZC7CVYN2U5KWPT -p udp -m comment --comment "{anyone}" -m set --match-set {own} dst -m udp --dport 53 -m mark --mark 0x10000/0x10000 -j RETURN
-A KUBE-NWPLCY-6ZZC7CVYN2U5KWPT -m comment --comment "{outward}" -m set --match-set {own_src} src -m set --match-set {peers} dst -j MARK --set-xmark 0x10000/0x10000
-A KUBE-NWPLCY-DEFAULT -m comment --comment "rule to mark traffic matching a network policy" -j MARK --set-xmark 0x10000/0x10000
-A KUBE-POD-FW-DVXGEUNYX2M3L6BW -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-POD-FW-DVXGEUNYX2M3L6BW -d 10.65.0.20/32 -m comment --comment "{jump}" -j KUBE-NWPLCY-6ZZC7CVYN2U5KWPT
-A KUBE-POD-FW-DVXGEUNYX2M3L6BW -m comment --comment "{log}" -m mark ! --mark 0x10000/0x10000 -m limit --limit 10/min --limit-burst 10 -j NFLOG --nflog-group 100
-A KUBE-POD-FW-DVXGEUNYX2M3L6BW -m comment --comment "{reject}" -m mark ! --mark 0x10000/0x10000 -j REJECT --reject-with icmp-port-unreachable
-A KUBE-POD-FW-DVXGEUNYX2M3L6BW -j MARK --set-xmark 0x0/0x10000
-A KUBE-POD-FW-DVXGEUNYX2M3L6BW -m comment --comment "{done}" -j MARK --set-xmark 0x20000/0x20000
COMMIT
"""  # noqa: E501
_SETS = {
    "own": "KUBE-DST-S625NABNQZQPWP6T", "own_src": "KUBE-SRC-S625NABNQZQPWP6T",
    "peers": "KUBE-SRC-ABC567ABC567ABC5",
}  # fmt: skip
_POD = "POD name:web-0 namespace: shop"
_LONG = "rule to ACCEPT traffic from {} selected by policy name{} web namespace shop"
_KUBE_WORDS = {
    "up to 2.9": {
        "pods": _LONG.format("source pods to dest pods", ""),
        "anyone": _LONG.format("all sources to dest pods", ":"),
        "outward": _LONG.format("source pods to dest pods", ""),
        "to_pod": f"rule to jump traffic destined to {_POD} to chain",
        "jump": "run through nw policy web",
        "log": f"rule to log dropped traffic {_POD}",
        "reject": f"rule to REJECT traffic destined for {_POD}",
        "done": "set mark to ACCEPT traffic that comply to network policies",
    },
    "later": {
        "pods": "shop/web ingress pods",
        "anyone": "shop/web ingress any np",
        "outward": "shop/web egress pods",
        "to_pod": "shop/web-0 in",
        "jump": "shop/web policy",
        "log": "shop/web-0 log-drop",
        "reject": "shop/web-0 reject",
        "done": "set netpol-ok mark",
    },
}


@dataclasses.dataclass(frozen=True, slots=True)
class KubeRouter:
    """kube-router's rules for web-0, with the comments of one version."""

    version: str

    def load(self, node: Node) -> None:
        """Make its sets and load its rules."""
        for name in _SETS.values():
            node.run("ipset", "create", name, "hash:ip")
        node.run("ipset", "add", _SETS["own"], PODS["web-0"].addresses[0])
        node.run("ipset", "add", _SETS["peers"], PODS["frontend-0"].addresses[0])
        node.run("iptables-legacy-restore", "--noflush", text=KUBE_ROUTER.format(**_SETS, **self.words))

    @property
    def words(self) -> dict[str, str]:
        return _KUBE_WORDS[self.version]

    def expected(self) -> dict[policyhit.PolicyHit, int]:
        """Packets by hit after ``Node.talk``."""
        default = policyhit.PolicyHit(direction=INGRESS, kind=policyhit.DEFAULT_DENY, action=DENY)
        web = policyhit.PolicyHit(direction=INGRESS, kind="knp", namespace="shop", name="web", action=ALLOW)
        return {web: TRAFFIC[6000] + TRAFFIC[53], default: _SENT - TRAFFIC[6000] - TRAFFIC[53]}


@pytest.fixture(params=list(_KUBE_WORDS))
def kube_router(request: pytest.FixtureRequest) -> KubeRouter:
    """Each version's comments."""
    return KubeRouter(request.param)


@pytest.fixture(scope="session")
def captures() -> pathlib.Path:
    """The folder of what tools and kernels said of these rulesets."""
    return pathlib.Path(__file__).parents[2] / "captures" / "counters"


@pytest.fixture(scope="session")
def plain() -> Callable[..., dict[str, object]]:
    """What is attributed, as the captures have it beside them."""
    path = pathlib.Path(__file__).parents[2] / "captures" / "counters" / "record.py"
    spec = importlib.util.spec_from_file_location("counters_record", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Callable[..., dict[str, object]] = module.plain
    return made


@pytest.fixture(scope="session")
def read_rules() -> Callable[..., counter_rules.Ruleset]:
    """Reads lines of iptables' filter table, as if they came from a dump; each has a counter."""

    def read(*lines: str, family: int = 4) -> counter_rules.Ruleset:
        chains = dict.fromkeys(line.split()[1] for line in lines)
        targets = dict.fromkeys(
            line.split()[-1] for line in lines if "-j cali-" in line or "-j KUBE-" in line
        )
        text = "\n".join([
            "*filter", *(f":{name} - [0:0]" for name in chains | targets),
            *(f"[{i}:{i * 100}] {line}" for i, line in enumerate(lines)), "COMMIT", "",
        ])  # fmt: skip
        return iptables.read(text, family)[0]

    return read
