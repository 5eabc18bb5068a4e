"""nftables chains as Calico writes them: a counter in each rule, and a comment with the rule's hash.

Marks, hashes and comments are those of felix/nftables and felix/generictables (Calico 3.32).
"""

from __future__ import annotations

import dataclasses
import hashlib
import re

from model import chainnames

ACCEPT = 0x10000
PASS = 0x20000
DROP = 0x40000
SCRATCH_ALL = 0x80000
SCRATCH_ONE = 0x100000
ALL_MARKS = ACCEPT | PASS | DROP | SCRATCH_ALL | SCRATCH_ONE

_WORD_LIMIT = 0xFFFFFFFF
_COMMENT_LIMIT = 128  # nft refuses longer ones
_NAME_LIMIT = 256 - len("filter-") - 1  # the kernel's limit, its final zero and our layer prefix included


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One rule of a chain; without an action it goes on, and has no counter."""

    match: str = ""
    action: str = ""
    comment: str = ""

    def body(self) -> str:
        """The rule without its comment: what its hash is made of."""
        action = f"counter {self.action}" if self.action else ""
        return " ".join(part for part in (self.match, action) if part) or "continue"


@dataclasses.dataclass(frozen=True, slots=True)
class Chain:
    """A chain by its whole name; ``hook`` makes it a base chain."""

    name: str
    lines: tuple[Line, ...] = ()
    hook: str = ""

    def render(self) -> str:
        """The chain as a block of an nft script; a return at its very end is left out, as Felix does."""
        lines = self.lines[:-1] if self.lines and self.lines[-1].action == "return" else self.lines
        body = [f"    {self.hook}"] if self.hook else []
        digest = hashlib.sha224(self.name.encode()).digest()
        for line in lines:
            digest = hashlib.sha224(digest + line.body().encode()).digest()
            body.append(f'    {line.body()} comment "{_comment(digest, line.comment)}"')
        return "\n".join([f"  chain {self.name} {{", *body, "  }"])


def _comment(digest: bytes, text: str) -> str:
    safe = re.sub(r"[^\w @%+=:,./-]", "_", text)
    return f"cali:{chainnames.encode(digest)[:16]}; {safe}".strip()[:_COMMENT_LIMIT]


def limited(prefix: str, suffix: str) -> str:
    """A chain's name that the kernel takes, with our layer before it."""
    return chainnames.limited(prefix, suffix, _NAME_LIMIT)


def is_set(bit: int) -> str:
    """Match: this mark bit is set."""
    return f"meta mark & {bit:#x} == {bit:#x}"


def is_clear(bits: int) -> str:
    """Match: none of these mark bits is set."""
    return f"meta mark & {bits:#x} == 0"


def is_not_clear(bits: int) -> str:
    """Match: at least one of these mark bits is set."""
    return f"meta mark & {bits:#x} != 0"


def set_mark(bit: int) -> str:
    """Action: set this mark bit."""
    return f"meta mark set mark or {bit:#x}"


def clear_mark(bits: int) -> str:
    """Action: clear these mark bits."""
    return f"meta mark set mark & {bits ^ _WORD_LIMIT:#x}"
