"""The lab's own truth: what was tried, what became of it, and what each host's kernel counted."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
from typing import Any

from lab import namespaces
from model import errors

_FAMILIES = {4: ("ip", "icmp"), 6: ("ip6", "icmpv6")}


def counters() -> str:
    """Rules for a host's namespace: packets and bytes of each connection, as that host sees it."""
    sets: list[str] = []
    output: list[str] = []
    received: list[str] = []
    for family, (ip, icmp) in _FAMILIES.items():
        ports = f"{ip} saddr . meta l4proto . th sport . {ip} daddr . th dport"
        pings = f"{ip} saddr . {icmp} id . {ip} daddr"
        for way, chain, message in (("sent", output, "request"), ("received", received, "reply")):
            sets += [
                f"set {way}{family} {{ typeof {ports}; flags dynamic; size 65535; }}",
                f"set pings_{way}{family} {{ typeof {pings}; flags dynamic; size 65535; }}",
            ]
            chain += [
                f"meta l4proto {{ tcp, udp }} update @{way}{family} {{ {ports} counter }}",
                f"{icmp} type echo-{message} update @pings_{way}{family} {{ {pings} counter }}",
            ]
        sets.append(f"set syn{family} {{ typeof {ports}; flags dynamic; size 65535; }}")
        output.append(f"tcp flags & (syn | ack) == syn update @syn{family} {{ {ports} counter }}")
    hooks = (("output", 300, output), ("input", -300, received))  # fmt: skip
    chains = [
        "\n".join([f"chain {hook} {{ type filter hook {hook} priority {priority};", *rules, "}"])
        for hook, priority, rules in hooks
    ]
    return "\n".join(["table inet truth {", *sets, *chains, "}"])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One connection that a host tried.

    Attributes:
        src_port: Source port; for ICMP the echo identifier.
        dst_address: The address that was dialled.
        server: ``namespace/pod`` that answered; empty where nobody said so.
        started: When it began, and ``ended`` when the client was through with it, in ns since 1970.
        result: ``answered``, ``refused``, ``timeout`` or ``sent``.
    """

    pattern: str
    protocol: int
    family: int
    src: str
    src_owner: str
    src_node: str
    src_address: str
    src_port: int
    dst_address: str
    dst_port: int
    dst_owner: str
    service: str
    server: str
    started: int
    ended: int
    result: str
    egress_rule: str
    ingress_rule: str


class Log:
    """Attempts, kept until they are written."""

    def __init__(self, file: pathlib.Path) -> None:
        self._file = file.open("w")

    def add(self, attempt: Attempt) -> None:
        """Note one attempt that is over."""
        self._file.write(json.dumps(dataclasses.asdict(attempt)) + "\n")

    def close(self) -> None:
        """Write out what is left."""
        self._file.close()


def read(file: pathlib.Path) -> list[Attempt]:
    """The attempts of a log."""
    return [Attempt(**json.loads(line)) for line in file.read_text().splitlines()]


def count(namespace: pathlib.Path) -> dict[str, tuple[int, int]]:
    """Packets and bytes by connection, as a host's kernel has them.

    The keys are ``sent``, ``syn`` (the SYNs among these) or ``received``, then source, protocol, port,
    destination, port; for pings source, identifier, destination.
    """
    command = ["nft", "-nj", "list", "table", "inet", "truth"]
    done = namespaces.within(
        namespace, lambda: subprocess.run(command, capture_output=True, text=True, check=False)
    )
    if done.returncode:
        raise errors.SetupError(f"nft cannot read the counters at {namespace}: {done.stderr.strip()}")
    counted: dict[str, tuple[int, int]] = {}
    for item in json.loads(done.stdout)["nftables"]:
        for element in item.get("set", {}).get("elem", []):
            way = item["set"]["name"].removeprefix("pings_")[:-1]
            counted |= _element(way, element["elem"])
    return counted


def _element(way: str, element: dict[str, Any]) -> dict[str, tuple[int, int]]:
    name = " ".join([way, *(str(part) for part in element["val"]["concat"])])
    return {name: (element["counter"]["packets"], element["counter"]["bytes"])}
