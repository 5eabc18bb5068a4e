"""What may be asked of a ledger from outside: a reading of the statement, before it runs.

ClickHouse's ``readonly = 1`` refuses writes, settings and reading from files or the network. It lets through
``INTO OUTFILE``, the function ``file``, ``KILL``, ``USE`` and the commands of an interactive client, and it
looks into a URL for its columns before it refuses to read it. Hence this module.

ClickHouse itself parses the statement and writes it in its canonical form, without comments; that form is
what is looked at and what then runs, so that no second reading could differ from the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from model import errors

UNDERSTAND = (
    "SELECT formatQuerySingleLine({query:String}) AS canonical, currentDatabase() AS own, "
    "timezone() AS zone, "
    "(SELECT groupArray(upper(name)) FROM system.table_functions "
    "WHERE NOT allow_readonly AND name != 'format') AS outward"
)
"""Asks ClickHouse for a statement's canonical form, and what has to be known beside it: the ledger's database
and time zone, and the table functions that reach beyond the ledger, in upper case. It refuses several
statements, and what is no statement."""

_TOKEN = re.compile(
    r"(?P<text>'(?:[^'\\]|\\.)*')"
    r'|(?P<quoted>`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*")'
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<other>\S)",
    re.DOTALL,
)
_BEGINNINGS = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "EXISTS", "EXPLAIN"})
_WORDS = frozenset({"OUTFILE", "INFILE", "FILE", "EVAL"})

_SETTINGS_TABLE = re.compile(
    r"(?P<before>'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`)|FROM system\.settings\b(?!\.)(?P<named> AS\b)?",
    re.DOTALL,
)


def check(canonical: str, outward: frozenset[str]) -> None:
    """Let a statement in canonical form pass if it only reads the ledger.

    Args:
        canonical: The statement, as ClickHouse writes it.
        outward: The table functions that it must not call, in upper case.

    Raises:
        StoreError: If it does not, in ClickHouse's form of words.
    """
    tokens = [_bare(match) for match in _TOKEN.finditer(canonical) if match.lastgroup != "text"]
    first = next((word for word in tokens if word != "("), "")
    if first not in _BEGINNINGS:
        raise _refusal(f"a statement that begins with {first or 'nothing'}")
    for word, after in zip(tokens, [*tokens[1:], ""], strict=True):
        # A function may be named without being called here, as in APPLY; AI… are those that ask a service.
        if word in _WORDS or re.match("AI[A-Z]", word) or (word in outward and after == "("):
            raise _refusal(f"the word {word}")
    for before, word, after, sign in zip(["", *tokens], tokens, tokens[1:], tokens[2:], strict=False):
        if word == "SETTINGS" and before != "." and sign == "=":
            raise _refusal(f"SETTINGS {after.lower()}")


def named_format(canonical: str) -> str:
    """The output format that a statement in canonical form names itself; empty for none."""
    named = re.search(r" FORMAT (\w+)$", canonical)
    return named[1] if named else ""


def with_choices(canonical: str, chosen: Iterable[str]) -> str:
    """A statement to which ``system.settings`` says what a client of ours may choose.

    By itself the engine says that nothing can be chosen, as whoever asks it may only read; clients would
    then not even offer their settings.

    Args:
        canonical: The statement, in canonical form.
        chosen: Names of the settings; ours, which are pasted.
    """
    names = ", ".join(f"'{name}'" for name in sorted(chosen))
    seen = f"(SELECT * REPLACE (if(name IN ({names}), 0, readonly) AS readonly) FROM system.settings)"  # noqa: S608 (our own names)
    return _SETTINGS_TABLE.sub(
        lambda match: match["before"] or f"FROM {seen}{' AS settings' if match['named'] is None else ' AS'}",
        canonical,
    )


def _bare(match: re.Match[str]) -> str:
    """A token without its quotes, in upper case: neither may hide a name from us."""
    token = match.group()
    return (token[1:-1] if match.lastgroup == "quoted" else token).upper()


def _refusal(what: str) -> errors.StoreError:
    return errors.StoreError(
        f"Code: 164. DB::Exception: this interface only reads: {what} is not allowed. (READONLY)"
    )
