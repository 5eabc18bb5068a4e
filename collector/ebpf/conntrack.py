"""Entries of Calico's conntrack maps as columns (felix/bpf-gpl/conntrack_types.h, felix/bpf/conntrack/v4).

Both sides of an entry are in the order of their addresses, A before B; a flag says which of them began. Of
versions 3 (Calico 3.30 and before) and 4 (since 3.31) every field that is read is at the same place.
"""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import numpy.typing as npt

from collector.conntrack import decode as connections
from collector.ebpf import maps
from model import enums, errors

_PIN = re.compile(r"cali_v([46])_ct(\d*)")
_VERSIONS = (3, 4)
_NORMAL, _NAT_FORWARD, _NAT_REVERSE = range(3)  # CALI_CT_TYPE_…
_BEGUN_BY_B = 0x1  # CALI_CT_FLAG_BA, which is 0x100 of all flags, in the byte of its own
_SYN, _ACK, _FIN, _RST = (1 << bit for bit in range(4))
_ESTABLISHED = _SYN | _ACK
_STATE = {word: number for number, word in enumerate(enums.TCP_STATES)}
_LEG = {"bytes": ("<u8", 0), "packets": ("<u4", 8), "bits": ("<u4", 16)}


@dataclasses.dataclass(frozen=True, slots=True)
class Pin:
    """A conntrack map by the name under which it is pinned.

    Attributes:
        name: The name, as ``cali_v4_ct4``.
        family: 4 or 6.
        version: Of its layout; version 1 has no number in its name.
    """

    name: str
    family: int
    version: int


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Where in a key and in a value everything is."""

    key: np.dtype[np.void]
    value: np.dtype[np.void]


def parse_pin(name: str) -> Pin | None:
    """The conntrack map that has this name; None where it is something else's."""
    match = _PIN.fullmatch(name)
    return Pin(name, int(match[1]), int(match[2] or 1)) if match else None


def _dtype(size: int, fields: dict[str, tuple[object, int]]) -> np.dtype[np.void]:
    return np.dtype({
        "names": list(fields), "formats": [kind for kind, _ in fields.values()],
        "offsets": [at for _, at in fields.values()], "itemsize": size,
    })  # fmt: skip


def _key(address: int) -> np.dtype[np.void]:
    """``struct calico_ct_key`` with addresses of so many bytes; ports are in the host's order."""
    return _dtype(8 + 2 * address, {
        "protocol": ("<u4", 0), "a": (("u1", (address,)), 4), "b": (("u1", (address,)), 4 + address),
        "a_port": ("<u2", 4 + 2 * address), "b_port": ("<u2", 6 + 2 * address),
    })  # fmt: skip


def _value(size: int, address: int) -> np.dtype[np.void]:
    """``struct calico_ct_value``; the word at 0 is read by nobody, as it means two things in version 3."""
    original = 72 + address  # behind the address of a tunnel
    ports = original + address
    legs = {
        f"{name}_{field}": (kind, at + offset)
        for name, at in (("ab", 24), ("ba", 48)) for field, (kind, offset) in _LEG.items()
    }  # fmt: skip
    return _dtype(size, {
        "last_seen": ("<u8", 8), "type": ("u1", 16), "flags2": ("u1", 23), **legs,
        "dialled": (("u1", (address,)), original), "dialled_port": ("<u2", ports),
        "source_port": ("<u2", ports + 2), "source": (("u1", (address,)), ports + 4),
    })  # fmt: skip


_LAYOUTS = {4: Layout(_key(4), _value(88, 4)), 6: Layout(_key(16), _value(128, 16))}


def layout(pin: Pin, info: maps.Info) -> Layout:
    """How a map's entries are read.

    Raises:
        SetupError: If its version, its type or its sizes are none that we know.
    """
    known = _LAYOUTS[pin.family]
    if pin.version not in _VERSIONS:
        versions = " and ".join(map(str, _VERSIONS))
        raise errors.SetupError(f"{pin.name} has version {pin.version}, of which only {versions} are known")
    sizes = (known.key.itemsize, known.value.itemsize)
    if info.kind not in (maps.HASH, maps.LRU_HASH) or (info.key_size, info.value_size) != sizes:
        raise errors.SetupError(
            f"{pin.name} is not version {pin.version} as it is known: its type is {info.kind}, its keys have "
            f"{info.key_size} bytes and its values {info.value_size}, instead of {sizes[0]} and {sizes[1]}"
        )
    return known


def decode(known: Layout, keys: maps.Bytes, values: maps.Bytes, boot: int) -> connections.Decoded:
    """The connections of a map, in no order.

    ``service`` is what was dialled before the dataplane chose a backend, ``snat`` what the responder sees
    where the dataplane has put another source in. ``stopped`` is when a packet was last seen, of living
    entries too. ``started`` is 0, since the map does not say. ICMP has no identifier and no type here: all
    echos between two addresses are one entry. A NAT entry of the way there is passed over: the one of the
    way back has all the counts. Bytes are of whole frames, with the 14 of Ethernet's header that the kernel's
    own table leaves out. A connection that the policy denied has no entry.

    Args:
        known: The layout.
        keys: One row of bytes an entry.
        values: As many.
        boot: When CLOCK_MONOTONIC was 0, in ns since 1970.
    """
    key, value = keys.view(known.key)[:, 0], values.view(known.value)[:, 0]
    kinds = value["type"]
    tracked = (kinds == _NORMAL) | (kinds == _NAT_REVERSE)
    strange = np.flatnonzero(kinds > _NAT_REVERSE)
    problem = f"value at byte 16: type {kinds[strange[0]]} is not known" if len(strange) else ""
    out = _read(key[tracked], value[tracked])
    out["stopped"] = value["last_seen"][tracked].view(np.int64) + boot
    return connections.Decoded(connections.keyed(out), len(strange), problem)


def _read(key: npt.NDArray[np.void], value: npt.NDArray[np.void]) -> connections.Connections:
    out = np.zeros(len(key), connections.CONNECTION)
    by_b = value["flags2"] & _BEGUN_BY_B > 0
    for ours, side, other in (("src", "a", "b"), ("dst", "b", "a")):
        out[ours] = _wide(np.where(by_b[:, None], key[other], key[side]))
        out[f"{ours}_port"] = np.where(by_b, key[f"{other}_port"], key[f"{side}_port"])
    for ours, leg, other in (("forward", "ab", "ba"), ("reverse", "ba", "ab")):
        for field in ("packets", "bytes"):
            out[f"{ours}_{field}"] = np.where(by_b, value[f"{other}_{field}"], value[f"{leg}_{field}"])
    out["protocol"] = key["protocol"]
    out["status"] = np.where(out["reverse_packets"] > 0, connections.SEEN_REPLY, 0)
    _translate(value, out)
    bits = (
        np.where(by_b, value["ba_bits"], value["ab_bits"]),
        np.where(by_b, value["ab_bits"], value["ba_bits"]),
    )
    out["state"] = np.where(out["protocol"] == enums.Protocol.TCP, _states(*bits), 0)
    return out


def _translate(value: npt.NDArray[np.void], out: connections.Connections) -> None:
    """Who was dialled and who dialled, where the dataplane has put somebody else in their place."""
    reverse = value["type"] == _NAT_REVERSE
    named = reverse & value["dialled"].any(axis=1)
    dialled, port = _wide(value["dialled"]), value["dialled_port"]
    named &= (dialled != out["dst"]).any(axis=1) | (port != out["dst_port"])
    out["service"][named], out["service_port"][named] = dialled[named], port[named]
    hidden = (reverse & value["source"].any(axis=1))[:, None]
    source = np.where(hidden, _wide(value["source"]), out["src"])
    port = np.where(reverse & (value["source_port"] > 0), value["source_port"], out["src_port"])
    changed = (source != out["src"]).any(axis=1) | (port != out["src_port"])
    out["snat"][changed], out["snat_port"][changed] = out["src"][changed], out["src_port"][changed]
    out["src"], out["src_port"] = source, port


def _states(forward: npt.NDArray[np.uint32], reverse: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    """The kernel's number of the TCP state that both legs' flags tell of; 0 where no SYN was seen.

    The dataplane notes flags, not sequence numbers, so that nobody knows whether a FIN was acknowledged.
    """
    either, both = forward | reverse, forward & reverse
    cases = {
        "close": either & _RST > 0, "time_wait": both & _FIN > 0, "fin_wait": either & _FIN > 0,
        "established": both & _ESTABLISHED == _ESTABLISHED, "syn_recv": both & _SYN > 0,
        "syn_sent": forward & _SYN > 0,
    }  # fmt: skip
    return np.select(list(cases.values()), [_STATE[name] for name in cases], 0).astype(np.uint8)


def _wide(addresses: maps.Bytes) -> maps.Bytes:
    """Addresses of 16 bytes; those of IPv4 mapped."""
    if addresses.shape[1] == 16:
        return addresses
    wide = np.zeros((len(addresses), 16), np.uint8)
    wide[:, 10:12], wide[:, 12:] = 0xFF, addresses
    return wide
