"""The probe's nftables table: how new packets are counted at four places on their way, and no verdict.

Each stage counts the packets of connections that nobody has answered yet, by edge: source, whom it dialled,
protocol, port. What one stage has counted and the next has not was dropped in between. The key is conntrack's
original tuple, which is the same before and after any translation.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
import struct
from collections.abc import Callable

from collector.netlink import sockets
from collector.probe import expressions

TABLE = "flowledger_probe"
FAMILIES = (4, 6)

_SUBSYSTEM = 10 << 8  # NFNL_SUBSYS_NFTABLES
NEW_TABLE, GET_TABLE, DELETE_TABLE, _NEW_CHAIN, _NEW_RULE, _NEW_SET = (
    _SUBSYSTEM | n for n in (0, 1, 2, 3, 6, 9)
)
NEW_ELEMENTS, GET_ELEMENTS, NEW_OBJECT, GET_OBJECT = (_SUBSYSTEM | n for n in (12, 13, 18, 19))
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_INET = 1  # NFPROTO_INET
_CREATE, _EXCLUSIVE, _APPEND = 0x400, 0x200, 0x800
OWNER = 0x2
"""NFT_TABLE_F_OWNER, Linux 5.12: only the socket that made the table may change it, and it goes with it."""
COUNTER = 1  # NFT_OBJECT_COUNTER
_EVALUATED, _EXPIRING = 0x20, 0x10  # NFT_SET_EVAL, NFT_SET_TIMEOUT
_INTEGER = 4
"""The type that ``nft list`` shows keys as: for show only, and a concatenation ends at five parts there."""
_EXAMPLES_A_SECOND = 20
EXAMPLE_SECONDS = 60
"""How long a single attempt is held."""


class Stage(enum.StrEnum):
    """Places that a packet passes, in order."""

    SEEN = "seen"
    """It came in, or a process here sent it, and conntrack knows it."""
    ADMITTED = "admitted"
    """The rules before routing let it go on."""
    REACHED = "reached"
    """Routing led it to where filters stand: to be forwarded, or to this node."""
    PASSED = "passed"
    """It leaves, or is handed to a process here."""


STAGES = tuple(Stage)
EXAMPLES = "example"
_SERVICE = "service_"


def counting_set(stage: Stage, family: int) -> str:
    """Name of the set that counts edges at a stage."""
    return f"{stage}{family}"


def service_set(stage: Stage, family: int) -> str:
    """Name of the set that counts, at a stage, edges that were translated, by both destinations."""
    return f"{_SERVICE}{stage}{family}"


def example_set(family: int) -> str:
    """Name of the set that holds single attempts."""
    return f"{EXAMPLES}{family}"


def missed(stage: Stage) -> str:
    """Name of the counter of packets that a stage could not count."""
    return f"missed_{stage}"


# Priorities (linux/netfilter_ipv4.h): conntrack -200, mangle -150, DNAT -100, filter 0, security 50, IPVS 98,
# conntrack's confirmation at the very end.
_LAST = 2**31 - 2
_AFTER_CONNTRACK, _AFTER_DNAT, _BEFORE_FILTERS, _BEFORE_IPVS = -199, -99, -500, 90
_PREROUTING, _INPUT, _FORWARD, _OUTPUT, _POSTROUTING = range(5)
_HOOKS: tuple[tuple[str, int, int, tuple[Stage, ...]], ...] = (
    ("prerouting_first", _PREROUTING, _AFTER_CONNTRACK, (Stage.SEEN,)),
    ("prerouting_last", _PREROUTING, _LAST, (Stage.ADMITTED,)),
    ("output_first", _OUTPUT, _AFTER_CONNTRACK, (Stage.SEEN,)),
    # Of what begins here the route is known before any hook sees it.
    ("output_translated", _OUTPUT, _AFTER_DNAT, (Stage.ADMITTED, Stage.REACHED)),
    ("forward_first", _FORWARD, _BEFORE_FILTERS, (Stage.REACHED,)),
    ("input_first", _INPUT, _BEFORE_FILTERS, (Stage.REACHED,)),
    # IPVS takes packets out of input and sends them through output, where they are seen a second time.
    ("input_last", _INPUT, _BEFORE_IPVS, (Stage.PASSED,)),
    ("postrouting_last", _POSTROUTING, _LAST, (Stage.PASSED,)),
)

_Part = tuple[Callable[[int, int], bytes], int | None]
"""What loads one part of a key, and its length in bytes; None for an address."""
EDGE: tuple[_Part, ...] = (
    (expressions.source_address, None), (expressions.dialled_address, None),
    (expressions.protocol, 4), (expressions.dialled_port, 4),
)  # fmt: skip
"""The parts of a key that names an edge. The other keys begin with them; each ends with its period."""
TRANSLATED = (*EDGE, (expressions.answering_address, None), (expressions.answering_port, 4))
ATTEMPT = (*EDGE, (expressions.source_port, 4))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the table is to be.

    Attributes:
        size: Edges that one set holds; each takes some 200 bytes of kernel memory, and 16 for each processor.
        timeout_seconds: How long an edge is kept after its last packet.
        period_seconds: Length of a counting period, a power of two and not longer than the timeout, so that
            no key comes back after it was let go.
        examples: Single attempts to hold, with their source ports; 0 for none.
    """

    size: int
    timeout_seconds: int
    period_seconds: int
    examples: int = 0


def is_service_stage(stage: Stage) -> bool:
    """Whether translated destinations are counted there."""
    return stage in (Stage.REACHED, Stage.PASSED)


def render(plan: Plan, *, replacing: bool) -> list[tuple[str, bytes]]:
    """The transaction that makes the table: what each message is about, and the message, without its number.

    Args:
        plan: How the table is to be.
        replacing: Whether to remove a table of that name first.
    """
    named = expressions.text(1, TABLE)
    messages = [(f"table {TABLE}", _message(DELETE_TABLE, 0, named))] if replacing else []
    messages.append(
        (f"table {TABLE}", _message(NEW_TABLE, _CREATE | _EXCLUSIVE, named, expressions.be32(2, OWNER)))
    )
    identities = itertools.count(1)
    messages += [(f"counter {missed(stage)}", _counter(missed(stage))) for stage in STAGES]
    for name, length, size, seconds in _sets(plan):
        messages.append((f"set {name}", _set(name, length, size, seconds, next(identities))))
    for stage in STAGES:
        messages.append((f"chain {stage}", _message(_NEW_CHAIN, _CREATE, named, expressions.text(3, stage))))
        messages += [(f"rule in {stage}", _rule(stage, content)) for content in _stage_rules(plan, stage)]
    for name, hook, priority, stages in _HOOKS:
        messages.append((f"chain {name}", _base_chain(name, hook, priority)))
        condition = expressions.is_new() + (expressions.is_for_us() if hook == _PREROUTING else b"")
        messages += [
            (f"rule in {name}", _rule(name, condition + expressions.jump(stage))) for stage in stages
        ]
    return messages


def batch(messages: list[bytes]) -> bytes:
    """Messages as one transaction: all of it or nothing."""
    subsystem = struct.pack("=BB", 0, 0) + struct.pack(">H", _SUBSYSTEM >> 8)
    begin, end = (sockets.message(kind, 0, subsystem, 0) for kind in (_BATCH_BEGIN, _BATCH_END))
    return begin + b"".join(messages) + end


def request(kind: int, flags: int, *attributes: bytes, sequence: int = 1) -> bytes:
    """One message about our table."""
    header = struct.pack("=BBH", _INET, 0, 0)
    return sockets.message(
        kind, flags, header + b"".join((expressions.text(1, TABLE), *attributes)), sequence
    )


def _message(kind: int, flags: int, *attributes: bytes) -> bytes:
    header = struct.pack("=BBH", _INET, 0, 0)
    return sockets.message(kind, flags | sockets.NLM_F_ACK, header + b"".join(attributes))


def _sets(plan: Plan) -> list[tuple[str, int, int, int]]:
    """Name, length of the key, size and timeout of each set."""
    sets = []
    for family in FAMILIES:
        for stage in STAGES:
            # A stage must not be full before the one ahead of it, or what it cannot count looks denied.
            size = plan.size * (1 if stage is Stage.SEEN else 2)
            sets.append((counting_set(stage, family), key_length(EDGE, family), size, plan.timeout_seconds))
            if is_service_stage(stage):
                length = key_length(TRANSLATED, family)
                sets.append((service_set(stage, family), length, plan.size, plan.timeout_seconds))
        if plan.examples:
            length = key_length(ATTEMPT, family)
            sets.append((example_set(family), length, plan.examples, EXAMPLE_SECONDS))
    return sets


def key_length(parts: tuple[_Part, ...], family: int) -> int:
    """Bytes of a key, its period included."""
    return sum(_length(part, family) for part in parts) + 4


def _length(part: _Part, family: int) -> int:
    return part[1] or (4 if family == 4 else 16)


def _counter(name: str) -> bytes:
    return _message(
        NEW_OBJECT, _CREATE, expressions.text(1, TABLE), expressions.text(2, name),
        expressions.be32(3, COUNTER), expressions.nested(4),
    )  # fmt: skip


def _set(name: str, length: int, size: int, seconds: int, identity: int) -> bytes:
    return _message(
        _NEW_SET, _CREATE, expressions.text(1, TABLE), expressions.text(2, name),
        expressions.be32(3, _EVALUATED | _EXPIRING), expressions.be32(4, _INTEGER),
        expressions.be32(5, length), expressions.nested(9, expressions.be32(1, size)),
        expressions.be32(10, identity), expressions.be64(11, seconds * 1000),
    )  # fmt: skip


def _base_chain(name: str, hook: int, priority: int) -> bytes:
    place = expressions.nested(4, expressions.be32(1, hook), expressions.be32(2, priority))
    accept = expressions.be32(5, 1)  # NF_ACCEPT
    return _message(
        _NEW_CHAIN, _CREATE, expressions.text(1, TABLE), expressions.text(3, name), place, accept,
        expressions.text(7, "filter"),
    )  # fmt: skip


def _rule(chain: str, content: bytes) -> bytes:
    return _message(
        _NEW_RULE, _CREATE | _APPEND, expressions.text(1, TABLE), expressions.text(2, chain),
        expressions.nested(4, content),
    )  # fmt: skip


def _stage_rules(plan: Plan, stage: Stage) -> list[bytes]:
    """The rules of a stage's chain; whoever gets to the last one could not be counted."""
    rules = []
    for family in FAMILIES:
        of_family = expressions.is_family(family)
        if is_service_stage(stage):
            key = _key(TRANSLATED, family, plan.period_seconds)
            name = service_set(stage, family)
            rules.append(of_family + expressions.is_translated() + key + expressions.count(name))
        if plan.examples and stage in (Stage.SEEN, Stage.PASSED):
            key = _key(ATTEMPT, family, 1 << 31)
            name = example_set(family)
            rules.append(of_family + (
                expressions.at_most(_EXAMPLES_A_SECOND) + key + expressions.keep(name)
                if stage is Stage.SEEN else key + expressions.forget(name)
            ))  # fmt: skip
        key = _key(EDGE, family, plan.period_seconds)
        counted = expressions.count(counting_set(stage, family))
        rules.append(of_family + key + counted + expressions.back())
    return [*rules, expressions.count_object(missed(stage))]


def _key(parts: tuple[_Part, ...], family: int, period_seconds: int) -> bytes:
    """Loads the parts of a key into registers, one behind the other, and the period behind them."""
    content, register = b"", 0
    for part in parts:
        content += part[0](register, family)
        register += _length(part, family) // expressions.REGISTER_BYTES
    return content + expressions.period(register, period_seconds)
