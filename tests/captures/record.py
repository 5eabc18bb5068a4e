"""Records real netlink messages of this kernel: ``python tests/captures/record.py``, by hand, as root.

Makes throw-away network namespaces, real traffic in them, and writes beside itself, with the kernel's version
in each name: the raw messages (``.bin``) and what our decoders make of them (``.json``). The columns are to
be read by a person before they are committed: for connections, ``.txt`` has what ``conntrack -L`` says of
the same entries; for packets, the traffic is what ``_packets`` below sends. Captures are kept for ever: a new
kernel, or a bug, adds files and replaces none.
"""

from __future__ import annotations

import contextlib
import functools
import json
import pathlib
import platform
import select
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import pyroute2

from collector.conntrack import decode as conntrack
from collector.conntrack import scope
from collector.conntrack import source as conntrack_source
from collector.netlink import dump, layouts, sockets
from collector.nflog import decode as nflog
from collector.nflog import source as nflog_source
from lab import namespaces
from model import address

HERE = pathlib.Path(__file__).parent
KERNEL = "linux-" + ".".join(platform.release().split("-")[0].split(".")[:3])

_SENDER = """
table inet t { chain input { type filter hook input priority 0; ct state new; }; }
table ip nat4 {
  chain output { type nat hook output priority -100; ip daddr 10.96.0.1 tcp dport 80 dnat to 10.0.0.2:8080; }
  chain postrouting { type nat hook postrouting priority 100; ip saddr 10.0.0.9 masquerade; }
}
table ip6 nat6 {
  chain output { type nat hook output priority -100; ip6 daddr fd96::1 tcp dport 80 dnat to [fd00::2]:8080; }
  chain postrouting {
    type nat hook postrouting priority 100;
    ip6 saddr fd00::9 tcp dport 8080 snat to fd00::1;
  }
}
"""
_RECEIVER = """
table inet t { chain input {
  type filter hook input priority 0;
  tcp dport 9001 meta mark set 0x10 log prefix "API0|np/a/b" group 7
  tcp dport 9001 log prefix "DPI|default" group 7 drop
  udp dport 9002 log prefix "PPI12|knp/shop/a-rather-long-name-for-one-policy" group 7
  udp dport 9002 log group 7 drop
  icmp type echo-request log prefix "DRI" group 7
  icmpv6 type echo-request meta mark set 0x20 log prefix "ARI0|kns.default" group 7
}; }
"""


_INSERTED = """
-p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1001 --dport 80 --state ESTABLISHED -u SEEN_REPLY,ASSURED -m 0xabcd0123
-p tcp -s fd00::1 -d fd00::2 --sport 1002 --dport 80 --state FIN_WAIT -u SEEN_REPLY --dst-nat fd00::9
-p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 103 --dport 80 --state CLOSE --dst-nat 10.0.0.3:8080 --src-nat 10.0.0.4
-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 1004 --dport 53 -w 5 -m 4294967295
-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 1004 --dport 53 --orig-zone 6
-p udp -s fd00::1 -d fd00::2 --sport 1005 --dport 53 --reply-zone 65535
-p udplite -s fd00::1 -d fd00::2 --sport 1006 --dport 53 --src-nat fd00::4
-p sctp -s 10.0.0.1 -d 10.0.0.2 --sport 1007 --dport 36412 --state ESTABLISHED --orig-vtag 1 --reply-vtag 2
-p sctp -s fd00::1 -d fd00::2 --sport 1008 --dport 36412 --state COOKIE_WAIT --orig-vtag 1 --reply-vtag 2
-p dccp -s 10.0.0.1 -d 10.0.0.2 --sport 1009 --dport 5001 --state OPEN --role client
-p icmp -s 10.0.0.1 -d 10.0.0.2 --icmp-type 8 --icmp-code 0 --icmp-id 65535 -w 7
-p icmp -s 10.0.0.1 -d 10.0.0.2 --icmp-type 13 --icmp-code 0 --icmp-id 1
-p icmpv6 -s fd00::1 -d fd00::2 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 4660
-p gre -s 10.0.0.1 -d 10.0.0.2 --srckey 0x1122 --dstkey 0x3344
-p gre -s fd00::1 -d fd00::2 --srckey 0xffff --dstkey 0x0
-p 99 -s 10.0.0.1 -d 10.0.0.2
-p 253 -s fd00::1 -d fd00::2 -w 1
"""
"""What a pair of namespaces cannot make by traffic alone, for ``conntrack -I``."""


def main() -> None:
    """Record everything that is not there yet."""
    for name, record in (
        ("conntrack-counted", functools.partial(_record_connections, counted=True)),
        ("conntrack-uncounted", functools.partial(_record_connections, counted=False)),
        ("conntrack-inserted", _record_inserted),
        ("nflog", _record_packets),
    ):
        if not list(HERE.glob(f"{name}-*{KERNEL}.bin")):
            with _pair() as (sender, receiver):
                record(sender, receiver, name)


@contextlib.contextmanager
def _pair() -> Iterator[tuple[pathlib.Path, pathlib.Path]]:
    """Two namespaces with a cable between them."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as made:
        sender, receiver = pathlib.Path(folder, "sender"), pathlib.Path(folder, "receiver")
        for path in (sender, receiver):
            namespaces.create(path)
            made.callback(namespaces.remove, path)
        namespaces.within(sender, lambda: _cable(receiver))
        namespaces.within(receiver, lambda: _address("eth0", "2"))
        _nft(sender, _SENDER)
        _nft(receiver, _RECEIVER)
        yield sender, receiver


def _cable(other: pathlib.Path) -> None:
    with pyroute2.IPRoute() as links:
        links.link("add", ifname="eth0", kind="veth", peer={"ifname": "eth0", "net_ns_fd": str(other)})
    _address("eth0", "1", "9")
    with pyroute2.IPRoute() as links:
        links.route("add", dst="10.96.0.0/16", gateway="10.0.0.2")
        links.route("add", dst="fd96::/16", gateway="fd00::2")


def _address(interface: str, *hosts: str) -> None:
    with pyroute2.IPRoute() as links:
        (index,) = links.link_lookup(ifname=interface)
        links.link("set", index=1, state="up")
        links.link("set", index=index, state="up")
        no_detection = 0x02  # IFA_F_NODAD: the address can be used at once
        for host in hosts:
            links.addr("add", index=index, address=f"10.0.0.{host}", prefixlen=24)
            links.addr("add", index=index, address=f"fd00::{host}", prefixlen=64, flags=no_detection)


def _nft(namespace: pathlib.Path, ruleset: str) -> None:
    _run(namespace, "nft", "-f", "-", text=ruleset)


def _run(namespace: pathlib.Path, *command: str, text: str = "") -> str:
    return namespaces.within(
        namespace, lambda: subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    ).stdout


def _record_connections(sender: pathlib.Path, receiver: pathlib.Path, name: str, *, counted: bool) -> None:
    switch = str(int(counted))
    namespaces.within(sender, lambda: namespaces.set_sysctls({
        "net.netfilter.nf_conntrack_acct": switch, "net.netfilter.nf_conntrack_timestamp": switch,
    }))  # fmt: skip
    opened = namespaces.within(sender, lambda: sockets.open_netfilter(groups=conntrack_source._DESTROY_GROUP))
    table = namespaces.within(sender, sockets.open_netfilter)
    with opened, table, contextlib.ExitStack() as kept:
        for family, host in ((socket.AF_INET, "10.0.0.{}"), (socket.AF_INET6, "fd00::{}")):
            service = "10.96.0.1" if family == socket.AF_INET else "fd96::1"
            _connections(sender, receiver, family, host, service, kept)
        _record_table(sender, table, opened, name)


def _record_inserted(sender: pathlib.Path, _: pathlib.Path, name: str) -> None:
    opened = namespaces.within(sender, lambda: sockets.open_netfilter(groups=conntrack_source._DESTROY_GROUP))
    table = namespaces.within(sender, sockets.open_netfilter)
    with opened, table:
        for line in _INSERTED.strip().splitlines():
            _run(sender, "conntrack", "-I", "--timeout", "1000", *line.split())
        _record_table(sender, table, opened, name)


def _record_table(sender: pathlib.Path, table: socket.socket, opened: socket.socket, name: str) -> None:
    """All entries, then their ends."""
    # the kernel's word on the same entries, before and without taking them away
    listed = _run(sender, "conntrack", "-L", "-o", "id,timestamp")
    _write(f"{name}-dump-{KERNEL}", dump.whole(table, scope.EVERYTHING.request()), _columns_of_dump)
    (HERE / f"{name}-dump-{KERNEL}.txt").write_text(listed)
    for family in ("ipv4", "ipv6"):
        _run(sender, "conntrack", "-F", "-f", family)
    _write(f"{name}-destroy-{KERNEL}", _all_of(opened), _columns_of_dump)


def _connections(
    sender: pathlib.Path,
    receiver: pathlib.Path,
    family: int,
    host: str,
    service: str,
    kept: contextlib.ExitStack,
) -> None:
    """Each kind of connection once, in one address family."""
    one, two, nine = (host.format(last) for last in ("1", "2", "9"))

    def opened(namespace: pathlib.Path, kind: int, bound: tuple[str, int]) -> socket.socket:
        made = namespaces.within(namespace, lambda: socket.socket(family, kind))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(bound)
        return kept.enter_context(made)

    listener = opened(receiver, socket.SOCK_STREAM, (two, 8080))
    listener.listen()
    for bound, dialled in (
        ((one, 41001), (two, 8080)),  # stays: established
        ((one, 41002), (service, 80)),  # through DNAT
        ((nine, 41003), (two, 8080)),  # through masquerade
        ((one, 41004), (two, 8080)),  # ends: time_wait
        ((one, 41005), (two, 8081)),  # nobody listens: close
    ):
        client = opened(sender, socket.SOCK_STREAM, bound)
        with contextlib.suppress(ConnectionRefusedError):
            client.connect(dialled)
            server, _ = listener.accept()
            kept.enter_context(server)
            client.sendall(b"x" * 1000)
            server.recv(1000, socket.MSG_WAITALL)
            if bound[1] == 41004:
                client.close()
                server.recv(1)
                server.close()
    lost = opened(sender, socket.SOCK_STREAM, (one, 41006))  # dropped over there: syn_sent
    lost.setblocking(False)
    lost.connect_ex((two, 9001))
    answering = opened(receiver, socket.SOCK_DGRAM, (two, 53))
    asking = opened(sender, socket.SOCK_DGRAM, (one, 41007))
    asking.sendto(b"question", (two, 53))
    answering.sendto(b"answer", answering.recvfrom(100)[1])
    asking.recv(100)
    asking.sendto(b"nobody answers this", (two, 9002))
    _ping(sender, family, two, 0x1234).close()
    time.sleep(0.1)  # the last acknowledgements


def _ping(namespace: pathlib.Path, family: int, to: str, identifier: int) -> socket.socket:
    v4 = family == socket.AF_INET
    protocol = socket.IPPROTO_ICMP if v4 else socket.IPPROTO_ICMPV6
    raw = namespaces.within(namespace, lambda: socket.socket(family, socket.SOCK_RAW, protocol))
    message = struct.pack(">BBHHH", 8 if v4 else 128, 0, 0, identifier, 1) + b"ping" * 4
    if v4:
        total = sum(struct.unpack(f">{len(message) // 2}H", message))
        message = message[:2] + struct.pack(">H", 0xFFFF - (total & 0xFFFF) - (total >> 16)) + message[4:]
    raw.sendto(message, (to, 0))
    return raw


def _record_packets(sender: pathlib.Path, receiver: pathlib.Path, name: str) -> None:
    opened = namespaces.within(receiver, sockets.open_netfilter)
    with opened:
        nflog_source._bind(opened, 7)
        _packets(sender)
        time.sleep(2 * nflog_source.FLUSH_SECONDS)
        _write(f"{name}-{KERNEL}", _all_of(opened), _columns_of_packets)


def _packets(sender: pathlib.Path) -> None:
    """Each kind of packet once, in both address families."""
    for family, one, two in (
        (socket.AF_INET, "10.0.0.1", "10.0.0.2"),
        (socket.AF_INET6, "fd00::1", "fd00::2"),
    ):
        stream = namespaces.within(sender, lambda f=family: socket.socket(f, socket.SOCK_STREAM))
        stream.bind((one, 42001))
        stream.setblocking(False)
        stream.connect_ex((two, 9001))
        time.sleep(0.05)
        stream.close()
        datagram = namespaces.within(sender, lambda f=family: socket.socket(f, socket.SOCK_DGRAM))
        datagram.bind((one, 42002))
        for size in (0, 1, 100, 1000):
            datagram.sendto(b"x" * size, (two, 9002))
        if family == socket.AF_INET6:
            hop_by_hop_options, padding = 54, bytes([0, 0, 1, 4, 0, 0, 0, 0])
            datagram.setsockopt(socket.IPPROTO_IPV6, hop_by_hop_options, padding)
            datagram.sendto(b"with a hop-by-hop header", (two, 9002))
        datagram.close()
        _ping(sender, family, two, 0x4321).close()


def _all_of(opened: socket.socket) -> bytes:
    """All that a socket holds, each datagram padded as the receiver does."""
    read = bytearray()
    while select.select([opened], [], [], 0.2)[0]:
        datagram = opened.recv(1 << 18)
        read += datagram + bytes(-len(datagram) % 4)
    return bytes(read)


def _write(name: str, raw: bytes, columns: Callable[[bytes], object]) -> None:
    (HERE / f"{name}.bin").write_bytes(raw)
    (HERE / f"{name}.json").write_text(json.dumps(columns(raw), indent=1) + "\n")


def _columns_of_dump(raw: bytes) -> dict[str, list[object]]:
    return plain(conntrack.decode(layouts.datagram(raw)).connections)


def _columns_of_packets(raw: bytes) -> dict[str, object]:
    decoded = nflog.decode(layouts.datagram(raw))
    return {"prefixes": decoded.prefixes, "packets": plain(decoded.packets)}


def plain(rows: np.ndarray) -> dict[str, list[object]]:
    """Rows as columns of plain values, without the keys that are made of them."""
    return {
        name: [address.render(bytes(a)) for a in rows[name]] if rows[name].ndim == 2 else rows[name].tolist()
        for name in rows.dtype.names
        if name not in ("key", "tuple")
    }


if __name__ == "__main__":
    main()
