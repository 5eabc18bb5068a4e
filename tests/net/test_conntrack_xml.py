"""Our columns against the words of ``conntrack``, attribute by attribute.

What its XML has and we do not know fails the test. ``conntrack`` writes no ICMP in XML, and calls the states
of SCTP by the names of TCP's; for those there is its text.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

import numpy as np
import pytest

from collector.conntrack import decode, source
from collector.netlink import layouts, sockets
from model import address, enums

pytestmark = pytest.mark.net

TCP, UDP, ICMP, ICMPV6, GRE, DCCP, SCTP, UDPLITE = 6, 17, 1, 58, 47, 33, 132, 136
NAMES = {
    TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMPV6: "icmpv6", GRE: "gre", DCCP: "dccp", SCTP: "sctp",
    UDPLITE: "udplite",
}  # fmt: skip
SCTP_STATES = (
    "NONE", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED", "SHUTDOWN_SENT", "SHUTDOWN_RECD",
    "SHUTDOWN_ACK_SENT",
)  # fmt: skip
DCCP_STATES = ("NONE", "REQUEST", "RESPOND", "PARTOPEN", "OPEN", "CLOSEREQ", "CLOSING", "TIMEWAIT")
SEEN_REPLY, ASSURED = 0x2, 0x4
SECOND = 1_000_000_000
Told = Mapping[str, str]


# What conntrack says, and what our columns say in its words


def _told(flow: ElementTree.Element) -> dict[str, str]:
    """Everything in the XML: path → text; ``meta`` goes by its direction."""
    told = {f"@{name}": value for name, value in flow.attrib.items()}

    def walk(element: ElementTree.Element, path: str) -> None:
        for name, value in element.attrib.items():
            told[f"{path}@{name}"] = value
        if not len(element):
            assert path not in told
            told[path] = element.text or ""
        for child in element:
            walk(child, f"{path}/{child.tag}")

    for part in flow:
        if part.tag == "when":
            walk(part, part.tag)
            continue
        assert (part.tag, part.attrib.keys()) == ("meta", {"direction"})
        for child in part:
            walk(child, f"{part.attrib['direction']}/{child.tag}")
    return told


def _ours(row: np.void, now: float) -> dict[str, str]:
    """The same of one of our rows."""
    src, dst, service, snat = (
        address.render(row[name].tobytes()) for name in ("src", "dst", "service", "snat")
    )
    dialled = (service, row["service_port"]) if service else (dst, row["dst_port"])
    seen = (snat, row["snat_port"]) if snat else (src, row["src_port"])
    protocol, status = int(row["protocol"]), int(row["status"])
    said: dict[str, object] = {"@type": "destroy" if row["destroyed"] else None}
    for way, one, other, zone, counted in (
        ("original", (src, row["src_port"]), dialled, "src_zone", "forward"),
        ("reply", (dst, row["dst_port"]), seen, "dst_zone", "reverse"),
    ):
        v6 = ":" in one[0]
        said |= {
            f"{way}/layer3@protonum": socket.AF_INET6 if v6 else socket.AF_INET,
            f"{way}/layer3@protoname": "ipv6" if v6 else "ipv4",
            f"{way}/layer3/src": one[0], f"{way}/layer3/dst": other[0],
            f"{way}/layer4@protonum": protocol, f"{way}/layer4@protoname": NAMES.get(protocol, "unknown"),
            f"{way}/zone": row[zone] or None,
            f"{way}/counters/packets": row[f"{counted}_packets"],
            f"{way}/counters/bytes": row[f"{counted}_bytes"],
        }  # fmt: skip
        if protocol == GRE:
            said |= {f"{way}/layer4/srckey": hex(one[1]), f"{way}/layer4/dstkey": hex(other[1])}
        elif protocol in (TCP, UDP, DCCP, SCTP, UDPLITE):
            said |= {f"{way}/layer4/sport": one[1], f"{way}/layer4/dport": other[1]}
        else:
            said[f"{way}/layer4"] = ""
            assert one[1] == other[1] == 0
    end = row["stopped"] if row["stopped"] else int(now) * SECOND
    left_out = None if row["destroyed"] else 0  # an event may lack what is zero
    alone = {
        "state": enums.TCP_STATES[row["state"]].upper() if row["state"] else None,
        "timeout": row["timeout"] or left_out, "mark": row["mark"] or left_out, "zone": row["zone"] or None,
        "use": row["use"] or None, "id": row["id"],
        "assured": "" if status & ASSURED else None,
        "unreplied": None if status & (SEEN_REPLY | ASSURED) else "",
        "timestamp/start": row["started"] or None, "timestamp/stop": row["stopped"] or None,
        "deltatime": end // SECOND - row["started"] // SECOND if row["started"] else None,
    }  # fmt: skip
    said |= {f"independent/{name}": value for name, value in alone.items()}
    return {path: str(value) for path, value in said.items() if value is not None}


PASSING = ("independent/timeout", "independent/deltatime")
"""What changes between the dump that ``conntrack`` gets and the one that we get, by a second or two."""
WHEN = "when/"


def _compare(flow: ElementTree.Element, row: np.void, *, at: float, within: int = 2) -> None:
    """Fail unless both say the same; ``at`` is when ``conntrack`` said it."""
    told, ours = _told(flow), _ours(row, at)
    when = {path.removeprefix(WHEN): int(told.pop(path)) for path in list(told) if path.startswith(WHEN)}
    if when:
        said = datetime.datetime(*(when.pop(n) for n in ("year", "month", "day", "hour", "min", "sec")))
        assert abs(said.timestamp() - at) <= within  # the tool's local time, as is a naive one of Python's
        assert when.pop("wday") in (said.weekday() + 1, (said.weekday() + 1) % 7 + 1)
        assert not when
    for path in PASSING:
        assert (path in told) == (path in ours), path
        if path in told:
            assert abs(int(told.pop(path)) - int(ours.pop(path))) <= within, path
    if "original/counters/packets" not in told:  # this kernel does not count
        for path in [path for path in ours if "/counters/" in path]:
            assert ours.pop(path) == "0"
    assert told == ours


def _compare_text(line: str, row: np.void) -> None:
    """What the XML does not have."""
    protocol = int(row["protocol"])
    if protocol in (ICMP, ICMPV6):
        words = [tuple(map(int, found)) for found in re.findall(r"type=(\d+) code=(\d+) id=(\d+)", line)]
        ours = [
            tuple(int(row[f"{prefix}icmp_{name}"]) for name in ("type", "code", "id"))
            for prefix in ("", "reply_")
        ]
        assert words == ours
    else:
        assert not any(row[f"{p}icmp_{n}"] for p in ("", "reply_") for n in ("type", "code", "id"))
    if protocol == SCTP:
        assert f" {SCTP_STATES[row['state']]} src=" in line
    elif protocol != TCP:
        assert row["state"] == 0


def _rows(pieces: Iterator[decode.Decoded]) -> dict[int, np.void]:
    """Our rows by id."""
    found = list(pieces)
    assert {(piece.malformed, piece.error) for piece in found} <= {(0, "")}
    return {int(row["id"]): row for piece in found for row in piece.connections}


# Real traffic of each protocol, in one namespace

RULES = """
table inet chosen {
  chain zones { type filter hook output priority raw;
    udp dport 5005 ct zone set 5
    udp dport 5006 ct original zone set 6
    udp dport 5007 ct reply zone set 65535
  }
  chain marks { type filter hook output priority mangle;
    tcp dport { 8003, 8004 } ct mark set 0xabcd0123
    meta l4proto icmp ct mark set 1
  }
  chain drops { type filter hook input priority filter; tcp dport 8009 drop; }
}
table inet translated {
  chain out { type nat hook output priority -100;
    ip daddr 10.96.0.1 tcp dport 80 dnat ip to 10.0.0.2:8001
    ip6 daddr fd96::1 tcp dport 80 dnat ip6 to [fd00::2]:8001
    ip daddr 10.96.0.2 dnat ip to 10.0.0.2
    ip6 daddr fd96::2 dnat ip6 to fd00::2
  }
  chain post { type nat hook postrouting priority 100;
    ip saddr 10.0.0.3 snat ip to 10.0.0.4
    ip6 saddr fd00::3 snat ip6 to fd00::4
  }
}
"""


class Traffic:
    """Connections of each kind in one address family, kept until they are closed."""

    def __init__(self, watched, family: int, kept: contextlib.ExitStack) -> None:
        self._watched, self._family, self._kept = watched, family, kept
        v4 = family == socket.AF_INET
        self.hosts = [f"10.0.0.{last}" if v4 else f"fd00::{last}" for last in range(6)]
        self.services = [f"10.96.0.{last}" if v4 else f"fd96::{last}" for last in range(3)]

    def socket(self, kind: int, protocol: int, host: int, port: int = 0) -> socket.socket:
        opened = self._watched.within(lambda: socket.socket(self._family, kind, protocol))
        self._kept.enter_context(opened)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((self.hosts[host], port))
        return opened

    def make(self) -> None:
        """All of them."""
        self._streams()
        self._datagrams()
        self._pings()
        self._sctp()
        self._raw()

    def _streams(self) -> None:
        for port in (8001, 8002, 8003):
            listener = self.socket(socket.SOCK_STREAM, 0, 2, port)
            listener.listen()
            for host, dialled in (
                (1, (self.hosts[2], port)), (3, (self.hosts[2], port)), (1, (self.services[1], 80)),
                (3, (self.services[1], 80)), (1, (self.services[2], port)),
            ):  # fmt: skip
                if port != 8001 and dialled[1] == 80:
                    continue
                client = self.socket(socket.SOCK_STREAM, 0, host)
                client.connect(dialled)
                server, _ = listener.accept()
                self._kept.enter_context(server)
                client.sendall(b"x" * 3000)
                server.recv(3000, socket.MSG_WAITALL)
                server.sendall(b"y" * 100)
                client.recv(100, socket.MSG_WAITALL)
                if port == 8002:  # closed by the client, by both, or by nobody
                    client.close()
                    if host == 1:
                        server.close()
        refused = self.socket(socket.SOCK_STREAM, 0, 1)
        with pytest.raises(ConnectionRefusedError):
            refused.connect((self.hosts[2], 8004))
        unanswered = self.socket(socket.SOCK_STREAM, 0, 1)
        unanswered.setblocking(False)
        unanswered.connect_ex((self.hosts[2], 8009))

    def _datagrams(self) -> None:
        for protocol in (UDP, UDPLITE):
            for port in (53, 5005, 5006, 5007):
                server = self.socket(socket.SOCK_DGRAM, protocol, 2, port)
                for host, to in ((1, self.hosts[2]), (3, self.hosts[2]), (1, self.services[2])):
                    client = self.socket(socket.SOCK_DGRAM, protocol, host)
                    client.sendto(b"question", (to, port))
                    if port == 53:
                        server.sendto(b"an answer", server.recvfrom(100)[1])
                        client.recv(100)
                        client.sendto(b"another", (to, port))
                        server.recv(100)

    def _pings(self) -> None:
        v4 = self._family == socket.AF_INET
        for host, to, identifier in (
            (1, self.hosts[2], 1),
            (3, self.hosts[2], 0xFFFF),
            (1, self.services[2], 77),
        ):
            raw = self.socket(socket.SOCK_RAW, ICMP if v4 else ICMPV6, host)
            message = struct.pack(">BBHHH", 8 if v4 else 128, 0, 0, identifier, 1) + b"ping"
            if v4:
                total = sum(struct.unpack(f">{len(message) // 2}H", message))
                total = (total & 0xFFFF) + (total >> 16)
                message = message[:2] + struct.pack(">H", 0xFFFF - total) + message[4:]
            raw.sendto(message, (to, 0))

    def _sctp(self) -> None:
        """One that is set up to its end, one that is answered once, one that is not."""
        client, server = (self.socket(socket.SOCK_RAW, SCTP, host) for host in (1, 2))
        init, init_ack, echo, echo_ack = 1, 2, 10, 11
        for port, said in (
            (1001, (init, init_ack, echo, echo_ack)), (1002, (init, init_ack)), (1003, (init,)),
        ):  # fmt: skip
            for kind in said:
                ours = kind in (init, echo)
                ports = (port, 36412) if ours else (36412, port)
                tag = {init: 0, init_ack: 7, echo: 9, echo_ack: 7}[kind]
                body = struct.pack(">IIHHI", 7 if ours else 9, 1500, 1, 1, 1) if kind < echo else b""
                chunk = struct.pack(">BBH", kind, 0, 4 + len(body)) + body
                packet = struct.pack(">HHII", *ports, tag, 0) + chunk
                (client if ours else server).sendto(packet, (self.hosts[2 if ours else 1], 0))

    def _raw(self) -> None:
        """GRE of version 0, DCCP (which this kernel may not know), and a protocol for experiments."""
        request = struct.pack(">HHBBHBBHHI", 1009, 5001, 4 << 4, 0, 0, 0, 0, 0, 0, 0) + bytes(8)
        experiment = 253  # RFC 3692
        for protocol, payload in (
            (GRE, bytes([0, 0, 8, 0]) + b"inside"),
            (DCCP, request),
            (experiment, b"data"),
        ):
            # without ports, who talks to whom has to differ after translation too
            for host, to in ((1, self.hosts[2]), (3, self.hosts[2]), (5, self.services[2])):
                self.socket(socket.SOCK_RAW, protocol, host).sendto(payload, (to, 0))
        answering = self.socket(socket.SOCK_RAW, experiment, 2)
        answering.sendto(b"an answer", (self.hosts[1], 0))


@pytest.fixture
def traffic(watched) -> Iterator[contextlib.ExitStack]:
    """Whatever is put on it is closed at the end, before the namespace."""
    watched.run("nft", "-f", "-", text=RULES)
    with contextlib.ExitStack() as kept:
        yield kept


def _make_traffic(watched, kept: contextlib.ExitStack) -> None:
    for family in (socket.AF_INET, socket.AF_INET6):
        Traffic(watched, family, kept).make()
    time.sleep(0.1)  # for acknowledgements that TCP delays by 40 ms


# Entries that are put into the table: what traffic does not make here

ENTRY = {
    "tcp": "--sport 1000 --dport 80 --state {state}", "udp": "--sport 1000 --dport 53",
    "udplite": "--sport 1000 --dport 53", "sctp": "--sport 1000 --dport 36412 --state {state} --orig-vtag 1 "
    "--reply-vtag 2", "dccp": "--sport 1000 --dport 5001 --state OPEN --role client",
    "icmp": "--icmp-type {icmp} --icmp-code 0 --icmp-id {number}",
    "icmpv6": "--icmpv6-type 128 --icmpv6-code 0 --icmpv6-id {number}",
    "gre": "--srckey {number:#x} --dstkey 0xffff", "253": "",
}  # fmt: skip
TRANSLATIONS = ("", "--dst-nat {net}9", "--src-nat {net}8", "--dst-nat {net}9 --src-nat {net}8")
ZONES = ("", "-w 5", "--orig-zone 6", "--reply-zone 65535")
MARKS = ("", "-m 1", "-m 0xffffffff")
STATUSES = ("", "-u SEEN_REPLY", "-u SEEN_REPLY,ASSURED")
TCP_ENTRIES = (
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
)


def _insertions() -> list[str]:
    """A line for each protocol, family and translation, with zones, marks and states in turn."""
    lines = []
    for protocol, rest in ENTRY.items():
        for v6 in (False, True):
            if protocol in ("icmp", "icmpv6") and v6 != (protocol == "icmpv6"):
                continue
            for translation in TRANSLATIONS:
                number = len(lines) + 1
                net = f"fd01:{number:x}::" if v6 else f"10.1.{number}."
                states = SCTP_STATES[1:] if protocol == "sctp" else TCP_ENTRIES
                filled = rest.format(
                    state=states[number % len(states)], number=number, icmp=(8, 13, 17)[number % 3]
                )
                lines.append(
                    f"-I -t {1000 + number} -p {protocol} -s {net}1 -d {net}2 {filled} "
                    f"{translation.format(net=net)} {ZONES[number % 4]} {MARKS[number % 3]} "
                    f"{STATUSES[number // 4 % 3]}"
                )
    return lines


def _insert(watched) -> int:
    lines = _insertions()
    watched.run("conntrack", "--load-file", "-", text="\n".join(lines) + "\n")
    return len(lines)


# The tests


@pytest.mark.parametrize("counted", [True, False])
def test_table(watched, traffic: contextlib.ExitStack, counted: bool) -> None:
    if not counted:
        for name in ("acct", "timestamp"):
            watched.run("sh", "-c", f"echo 0 > /proc/sys/net/netfilter/nf_conntrack_{name}")
    inserted = _insert(watched)
    _make_traffic(watched, traffic)
    flows, at, lines = watched.listed(), time.time(), watched.lines()
    rows = _rows(source.snapshot(watched.path))
    assert len(rows) > inserted + 60
    assert rows.keys() == flows.keys() == lines.keys()
    for number, row in rows.items():
        _compare(flows[number], row, at=at)
        _compare_text(lines[number], row)
    _assert_everything_was_there(list(rows.values()))


def _assert_everything_was_there(rows: list[np.void]) -> None:
    """Each protocol in each family with each translation, every zone column, marks and states."""
    seen = {
        (
            int(row["protocol"]),
            ":" in address.render(row["src"].tobytes()),
            row["service"].any(),
            row["snat"].any(),
        )
        for row in rows
    }
    assert {
        (protocol, v6, dnat, snat)
        for protocol in (TCP, UDP, UDPLITE, SCTP, DCCP, GRE, 253, ICMP, ICMPV6)
        for v6 in (False, True)
        for dnat in (False, True)
        for snat in (False, True)
        if protocol not in (ICMP, ICMPV6) or v6 == (protocol == ICMPV6)
    } <= seen
    for name in ("zone", "src_zone", "dst_zone", "mark"):
        assert len({int(row[name]) for row in rows}) > 1, name
    assert {int(row["state"]) for row in rows if row["protocol"] == TCP} == set(range(1, 9))
    assert {int(row["state"]) for row in rows if row["protocol"] == SCTP} >= set(range(1, 8))


HEARD_SECONDS = 30
"""Far more than it takes; without a bound, one event that is lost would be waited for without end."""


def test_ends(watched, traffic: contextlib.ExitStack) -> None:
    """``conntrack -E`` and our own source, side by side."""
    process = traffic.enter_context(watched.listening())
    ours = source.Source(watched.path, receive_buffer=8 << 20, capacity=100_000)
    traffic.callback(ours.stop)
    ours.start()
    inserted = _insert(watched)
    _make_traffic(watched, traffic)
    living = len(watched.listed())
    watched.run("conntrack", "-F", "-f", "ipv4")
    watched.run("conntrack", "-F", "-f", "ipv6")
    at = time.time()
    read = ours.read()
    rows = {int(row["id"]): row for row in read[read["destroyed"]]}
    flows = _heard(process, len(rows))
    assert len(rows) >= living > inserted + 60
    assert rows.keys() == flows.keys()
    for number, row in rows.items():
        assert row["stopped"] > 0
        _compare(flows[number], row, at=at)
    _assert_everything_was_there(list(rows.values()))
    assert (ours.lost, ours.malformed) == (0, 0)


def _heard(process: subprocess.Popen[str], count: int) -> dict[int, ElementTree.Element]:
    """So many ends that ``conntrack -E`` tells of, by id; it writes each in a line of its own."""
    flows: dict[int, ElementTree.Element] = {}
    watchdog = threading.Timer(HEARD_SECONDS, process.kill)
    watchdog.start()
    for line in process.stdout:
        if found := re.search("<flow.*</flow>", line):
            flow = ElementTree.fromstring(found[0])
            flows[int(flow.findtext(".//id") or 0)] = flow
        if len(flows) == count:
            break
    watchdog.cancel()
    assert len(flows) == count, "conntrack has heard of fewer"
    return flows


# Messages that this kernel does not write, by the word of the library behind ``conntrack``

_XML, _TEXT, _SHOW = 1, 0, 1 | 4 | 8  # NFCT_O_XML, NFCT_O_DEFAULT; NFCT_OF_SHOW_LAYER3, _ID, _TIMESTAMP
_DESTROY, _UNKNOWN = 4, 0


def _library_says(message: bytes, form: int) -> str:
    """What libnetfilter_conntrack makes of a message."""
    library = ctypes.CDLL("libnetfilter_conntrack.so.3")
    library.nfct_new.restype = ctypes.c_void_p
    entry = ctypes.c_void_p(library.nfct_new())
    text = ctypes.create_string_buffer(4096)
    kind = _DESTROY if sockets.HEADER.unpack_from(message)[1] == 0x102 else _UNKNOWN
    try:
        assert library.nfct_nlmsg_parse(message, entry) == 0
        assert library.nfct_snprintf(text, len(text), entry, kind, form, _SHOW) > 0
    finally:
        library.nfct_destroy(entry)
    return text.value.decode()


def _compare_with_library(message: bytes) -> np.void:
    decoded = decode.decode(layouts.datagram(message))
    assert (decoded.malformed, decoded.error) == (0, "")
    (row,) = decoded.connections
    flow = ElementTree.fromstring(_library_says(message, _XML))
    _compare(flow, row, at=time.time())
    _compare_text(_library_says(message, _TEXT), row) if row["protocol"] != DCCP else None
    return row


CAPTURES = pathlib.Path(__file__).parents[1] / "captures"


@pytest.mark.parametrize("name", sorted(path.stem for path in CAPTURES.glob("conntrack-*.bin")))
def test_captures(name: str) -> None:
    whole = layouts.datagram((CAPTURES / f"{name}.bin").read_bytes())
    starts, lengths, _ = layouts.split(whole)
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        _compare_with_library(whole.buffer[start : start + length].tobytes())


def _attribute(kind: int, *inside: bytes) -> bytes:
    return sockets.attribute(0x8000 | kind, b"".join(inside))


def _number(kind: int, value: int, size: int) -> bytes:
    return sockets.attribute(kind, value.to_bytes(size, "big"))


def _tuple(kind: int, src: str, dst: str, protocol: int, sport: int, dport: int) -> bytes:
    first, ends = (3, [address.pack(src), address.pack(dst)]) if ":" in src else (
        1, [address.pack(src)[12:], address.pack(dst)[12:]]
    )  # fmt: skip
    addresses = _attribute(1, *(sockets.attribute(first + i, end) for i, end in enumerate(ends)))
    return _attribute(
        kind, addresses, _attribute(2, _number(1, protocol, 1), _number(2, sport, 2), _number(3, dport, 2))
    )


@pytest.mark.parametrize("state", range(1, 8), ids=DCCP_STATES[1:])
@pytest.mark.parametrize("hosts", [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("kind", [0x100, 0x102], ids=["living", "ended"])
def test_dccp_of_a_kernel_that_knows_it(kind: int, hosts: tuple[str, str], state: int) -> None:
    message = sockets.message(kind, 0, struct.pack("=BBH", 2 if "." in hosts[0] else 10, 0, 0) + b"".join([
        _tuple(1, *hosts, DCCP, 1009, 5001), _tuple(2, *hosts[::-1], DCCP, 5001, 1009), _number(3, 0xE, 4),
        _attribute(4, _attribute(2, _number(1, state, 1), _number(2, 0, 1), _number(3, 1, 8))),
        *([] if kind == 0x102 else [_number(7, 99, 4), _number(11, 1, 4)]),
        _number(8, 7, 4), _number(12, 77, 4), _attribute(9, _number(1, 5, 8), _number(2, 500, 8)),
        _attribute(10, _number(1, 4, 8), _number(2, 2**40, 8)),
    ]))  # fmt: skip
    row = _compare_with_library(message)
    assert f" {DCCP_STATES[row['state']]} src=" in _library_says(message, _TEXT)
    assert (row["src_port"], row["dst_port"], row["forward_packets"]) == (1009, 5001, 5)


# The lab's own traffic


@pytest.fixture
def node(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A node's namespace in a lab at work, seen from outside of its sandbox."""
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-m",
               "lab.main", "--folder", str(tmp_path)]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            process.stdin.write("go\n")
            process.stdin.flush()
            inside = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
            yield pathlib.Path(f"/proc/{inside}/root{tmp_path}/netns/node-1")
        finally:
            process.send_signal(signal.SIGKILL)


LAB_SECONDS = 4


def test_lab(node: pathlib.Path, watching) -> None:
    """What stands still between two looks of ``conntrack`` at a node, and all that ends on it."""
    watched = watching(node)
    with contextlib.ExitStack() as opened:
        process = opened.enter_context(watched.listening())
        ours = source.Source(node, receive_buffer=8 << 20, capacity=100_000)
        opened.callback(ours.stop)
        ours.start()
        time.sleep(LAB_SECONDS)
        _compare_what_stands_still(watched)
        for family in ("ipv4", "ipv6"):
            watched.run("conntrack", "-F", "-f", family)
        read = ours.read()
        ended = {int(row["id"]): row for row in read[read["destroyed"]]}
        flows = _heard(process, len(ended))  # which may have some that came later, and so lack as many
        assert len(ended) > 50
        assert len(ended.keys() & flows.keys()) > len(ended) - 50
        for number in ended.keys() & flows.keys():
            _compare(flows[number], ended[number], at=ended[number]["stopped"] / SECOND)
        assert (ours.lost, ours.malformed) == (0, 0)


def _compare_what_stands_still(watched) -> None:
    before, at = watched.listed(), time.time()
    rows, lines = _rows(source.snapshot(watched.path)), watched.lines()
    after = watched.listed()
    still = [n for n in rows if n in before and n in after and _still(before[n]) == _still(after[n])]
    for number in still:
        _compare(before[number], rows[number], at=at)
        _compare_text(lines[number], rows[number])
    assert len(still) > 50
    assert {TCP, UDP} <= {int(rows[number]["protocol"]) for number in still}


def _still(flow: ElementTree.Element) -> dict[str, str]:
    return {path: text for path, text in _told(flow).items() if path not in PASSING}
