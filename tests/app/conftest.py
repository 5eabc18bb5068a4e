"""An online shop's flows, served by a ledger in a process of its own.

chDB allows one engine in a process, and other tests have theirs. Run as a script, this file serves the shop:
``python tests/app/conftest.py FOLDER [PORT]``; a third argument ``empty`` leaves the ledger empty.
"""

from __future__ import annotations

import ipaddress
import pathlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator

import pyarrow as pa
import pytest

from model import address, columns
from store import chdb, ddl, gateway

SECOND = 1_000_000_000

PODS = {
    "web": ("shop", "Deployment", "10.244.1.11", "node-a"),
    "cart": ("shop", "Deployment", "10.244.2.12", "node-b"),
    "checkout": ("shop", "Deployment", "10.244.1.13", "node-a"),
    "payments": ("shop", "Deployment", "10.244.3.14", "node-c"),
    "postgres": ("shop", "StatefulSet", "10.244.3.15", "node-c"),
    "redis": ("shop", "StatefulSet", "10.244.2.16", "node-b"),
    "nightly-report": ("shop", "Job", "10.244.2.17", "node-b"),
    "dns": ("kube-system", "Deployment", "10.244.1.2", "node-a"),
    "prometheus": ("monitoring", "StatefulSet", "10.244.3.30", "node-c"),
    "grafana": ("monitoring", "Deployment", "10.244.2.31", "node-b"),
    "ingress-nginx": ("ingress", "DaemonSet", "10.244.1.40", "node-a"),
    "scanner": ("lab", "Deployment", "10.244.2.66", "node-b"),
    "web6": ("shop", "Deployment", "fd00:10:244:1::11", "node-a"),
    "api6": ("shop", "Deployment", "fd00:10:244:3::20", "node-c"),
}
SERVICES = {
    "cart": "10.96.0.12", "checkout": "10.96.0.13", "payments": "10.96.0.14", "postgres": "10.96.0.15",
    "redis": "10.96.0.16", "dns": "10.96.0.10", "web": "10.96.0.11", "api6": "fd00:10:96::20",
}  # fmt: skip

END_OF_TIER = "ingress|default|end-of-tier|deny|-1"
LAB = "ingress|security|gnp:isolate-lab|deny|0"
EGRESS = "egress|default|end-of-tier|deny|-1"
PAYMENTS_EGRESS = "egress|platform|np:shop/payments-egress|deny|3"
PAYMENTS_ALLOWED = "egress|platform|np:shop/payments-egress|allow|0"
PASSED = "ingress|security|gnp:isolate-lab|pass|1"


LOCKDOWN = "ingress|platform|snp:shop/lockdown|pass|0"
PENDING = {
    ("nightly-report", "postgres"): (
        "denied", f"{PASSED} {LOCKDOWN} ingress|default|snp:shop/postgres|deny|1",
    ),
    ("payments", "postgres"): ("allowed", f"{PASSED} ingress|default|snp:shop/postgres|allow|0"),
    ("web", "postgres"): ("allowed", f"{PASSED} ingress|default|sgnp:web|allow|0"),
}  # fmt: skip
"""What would become of an edge if the staged policies were in force, and the hits that there would be."""


def allow(policy: str, rule: int = 0) -> str:
    return f"ingress|default|knp:shop/{policy}|allow|{rule}"


# Source, destination, port, protocol, verdict, deciding rule, connections a minute, bytes each.
EDGES = [
    ("203.0.113.24", "ingress-nginx", 443, 6, "allowed", "", 9, 42_000),
    ("2001:db8:7::24", "web6", 443, 6, "allowed", allow("web"), 3, 30_000),
    ("web6", "api6", 8443, 6, "allowed", allow("api"), 3, 12_000),
    ("ingress-nginx", "web", 8080, 6, "allowed", allow("web"), 9, 38_000),
    ("web", "cart", 7070, 6, "allowed", allow("cart"), 6, 5_200),
    ("web", "checkout", 5050, 6, "allowed", allow("checkout"), 3, 6_800),
    ("checkout", "payments", 50051, 6, "allowed", allow("payments", 1), 3, 2_400),
    ("checkout", "cart", 7070, 6, "allowed", allow("cart", 1), 2, 3_100),
    ("cart", "redis", 6379, 6, "allowed", allow("redis"), 7, 900),
    ("payments", "postgres", 5432, 6, "allowed", allow("postgres"), 3, 64_000),
    ("payments", "198.51.100.7", 443, 6, "allowed", PAYMENTS_ALLOWED, 2, 9_800),
    ("nightly-report", "postgres", 5432, 6, "allowed", allow("postgres", 2), 1, 2_800_000),
    ("web", "dns", 53, 17, "allowed", "", 8, 240),
    ("checkout", "dns", 53, 17, "allowed", "", 4, 240),
    ("payments", "dns", 53, 17, "allowed", "", 4, 240),
    ("prometheus", "web", 9090, 6, "allowed", allow("metrics"), 2, 21_000),
    ("prometheus", "cart", 9090, 6, "allowed", allow("metrics"), 2, 20_000),
    ("grafana", "prometheus", 9090, 6, "allowed", "", 2, 48_000),
    ("node-b", "cart", 7070, 6, "allowed", "", 2, 600),
    ("scanner", "postgres", 5432, 6, "denied", LAB, 4, 60),
    ("scanner", "payments", 50051, 6, "denied", LAB, 2, 60),
    ("scanner", "10.244.9.9", 0, 1, "unknown", "", 1, 84),
    ("web", "postgres", 5432, 6, "denied", END_OF_TIER, 2, 60),
    ("grafana", "redis", 6379, 6, "denied", END_OF_TIER, 1, 60),
    ("payments", "192.0.2.80", 80, 6, "denied", PAYMENTS_EGRESS, 1, 60),
    ("nightly-report", "203.0.113.99", 443, 6, "denied", EGRESS, 1, 60),
    ("web6", "2001:db8:bad::1", 443, 6, "denied", EGRESS, 1, 80),
    ("cart", "10.20.0.9", 8125, 17, "unknown", "", 1, 120),
]  # fmt: skip


def end(name: str, side: str) -> dict[str, object]:
    if name in PODS:
        namespace, kind, text, _ = PODS[name]
        names = ("pod", namespace, kind, name, f"{name}-7d4b9-x{len(name)}q")
    elif name.startswith("node-"):
        text, names = "192.168.10.12", ("node", "", "Node", name, "")
    else:
        text, private = name, ipaddress.ip_address(name) in ipaddress.ip_network("10.0.0.0/8")
        names = ("private" if private else "public", "", "", "", "")
    parts = ("kind", "namespace", "workload_kind", "workload", "pod")
    values = {f"{side}_{part}": value for part, value in zip(parts, names, strict=True)}
    return {**values, f"{side}_labels_id": 0, f"{side}_address": address.pack(text)}


def flow(edge: tuple, moment: int, draw: random.Random) -> dict[str, object]:
    source, target, port, protocol, verdict, rule, _, size = edge
    allowed, pods = verdict == "allowed", (source in PODS, target in PODS)
    reverse = 0 if not allowed else int(size * draw.uniform(0.6, 1.4))
    service = target if allowed and target in SERVICES and source in PODS else ""
    reporter = {(True, True): "dst", (False, True): "dst"}.get(pods, "src")
    node = PODS[target if reporter == "dst" else source][3]
    row: dict[str, object] = dict.fromkeys((c.name for c in columns.COLUMNS), 0)
    row |= {c.name: "" for c in columns.COLUMNS if c.arrow == columns.TEXT}
    row |= {c.name: columns.NO_ADDRESS for c in columns.COLUMNS if c.arrow == columns.ADDRESS}
    row |= {**end(source, "src"), **end(target, "dst")}
    trace = [PASSED, rule] if rule.startswith("ingress|default") else [rule]
    pending_verdict, pending_trace = PENDING.get((source, target), ("", ""))
    return row | {
        "pending_verdict": pending_verdict, "pending_trace": pending_trace,
        "time": moment, "started": moment - draw.randrange(1, 9 * SECOND), "ended": moment if allowed else 0,
        "node": node, "reporter": reporter,
        "src_port": draw.randrange(32768, 60999) if port else 0, "dst_port": port, "protocol": protocol,
        "icmp_type": 8 if protocol == 1 else 0,
        "forward_packets": max(1, size // 1400), "forward_bytes": max(60, size // 10),
        "reverse_packets": reverse // 1400 + (1 if allowed else 0), "reverse_bytes": reverse,
        "connections_started": 1, "connections_ended": 1 if allowed else 0,
        "tcp_state": "time_wait" if allowed and protocol == 6 else "",
        "verdict": verdict, "policy_trace": " ".join(trace).strip(), "deciding_rule": rule,
        "attribution": "nflog" if rule else "none",
        "ingress_action": "" if not rule or rule.startswith("e") else "allow" if allowed else "deny",
        "egress_action": "" if not rule.startswith("e") else "allow" if allowed else "deny",
        "service_address": address.pack(SERVICES[service]) if service else columns.NO_ADDRESS,
        "service_port": port if service else 0, "service": service,
        "service_namespace": PODS[service][0] if service else "",
        "service_port_name": "main" if service else "",
    }  # fmt: skip


def flows(now: int, minutes: int = 58) -> pa.Table:
    """The shop's last hour; the intruder began a quarter of an hour ago."""
    draw = random.Random(7)
    rows = []
    for minute in range(minutes):
        for edge in EDGES:
            busy = 1 + 0.5 * ((minutes - minute) % 17) / 17
            count = round(edge[6] * busy * draw.uniform(0.4, 1.3))
            if edge[0] == "scanner" and minute > 16:
                continue
            for _ in range(count):
                moment = now - minute * 60 * SECOND - draw.randrange(2 * SECOND, 60 * SECOND)
                rows.append(flow(edge, moment, draw))
    return pa.Table.from_pylist(rows, columns.schema(columns.Stage.IDENTITY))


def completeness(now: int, minutes: int = 58) -> pa.Table:
    """Three nodes; one of them lost a few reports, once."""
    rows = [
        {
            "time": now - minute * 60 * SECOND - 3 * SECOND * number, "node": f"node-{letter}",
            "source": "conntrack", "observed": 9_000 + 70 * minute,
            "lost": 214 if (letter, minute) == ("b", 21) else 0, "discarded": 0, "incomplete": 0, "note": "",
        }
        for minute in range(minutes)
        for number, letter in enumerate("abc", 1)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, ddl.COMPLETENESS)


def serve(folder: pathlib.Path, port: int, *, empty: bool) -> None:
    """Serve until standard input ends, so that nothing outlives the tests."""
    ledger = chdb.Embedded(folder)
    if not empty:
        now = time.time_ns()
        ledger.insert("flows", flows(now))
        ledger.insert("completeness", completeness(now))
    server = gateway.Gateway(ledger, port=port)
    server.start()
    print(server.url, flush=True)  # noqa: T201
    sys.stdin.read()
    server.stop()
    ledger.close()


def _process(folder: pathlib.Path, *words: str) -> subprocess.Popen[str]:
    root = pathlib.Path(__file__).resolve().parents[2]
    command = [sys.executable, __file__, str(folder), "0", *words]
    environment = {"PYTHONPATH": str(root), "PATH": ""}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=root
    )


def _url(process: subprocess.Popen[str]):
    with process:
        yield process.stdout.readline().strip()
        process.stdin.close()


@pytest.fixture(autouse=True)
def _main_module() -> Iterator[None]:
    """Streamlit's test runner puts a module of its own there, from which no process could be spawned."""
    ours = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = ours


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """URL of a ledger that holds the shop's last hour."""
    yield from _url(_process(tmp_path_factory.mktemp("shop") / "ledger"))


@pytest.fixture(scope="session")
def nothing(tmp_path_factory):
    """URL of a ledger without a row."""
    yield from _url(_process(tmp_path_factory.mktemp("nothing") / "ledger", "empty"))


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    serve(pathlib.Path(given[1]), int(given.get(2, "0")), empty=given.get(3) == "empty")
