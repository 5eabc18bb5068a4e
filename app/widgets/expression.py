"""Writing and changing filter expressions, for people who click rather than type.

Only the outermost ``and`` is understood here; what an expression means is `store.filters`' business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from app.widgets import rows
from model import enums

_TOKEN = re.compile(r"""'(?:[^'\\]|\\.)*'?|"(?:[^"\\]|\\.)*"?|[()]|[^\s()'"]+|\s+""")
_BARE = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:/-]*")
_VERDICTS = re.compile(r"verdict\s*(?:=|in)\s*\(?([\w\s,]+)\)?")
_NAMESPACE = re.compile(r"""namespace\s*=\s*(['"]?)([\w.-]+)\1""")


def both(terms: Iterable[str]) -> str:
    """An expression that asks for all of some terms; empty ones are left out."""
    return " and ".join(term for term in terms if term)


def equals(field: str, value: str | int) -> str:
    """A term that asks for one value of a field."""
    return f"{field} = {quote(value) if isinstance(value, str) else value}"


def quote(value: str) -> str:
    """A value as it stands in an expression, in quotes where it could be read as something else."""
    if _BARE.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def terms(text: str) -> list[str]:
    """The parts between the outermost ``and``; one, in brackets, if there is an ``or`` out there too."""
    found, depth = [""], 0
    for token in _TOKEN.findall(text):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if depth == 0 and token.lower() == "or":
            return [f"({text.strip()})"]
        if depth == 0 and token.lower() == "and":
            found.append("")
        else:
            found[-1] += token
    return [term.strip() for term in found if term.strip()]


def verdicts(text: str) -> list[str]:
    """The verdicts that an expression is limited to, as `with_verdicts` wrote it; none for no limit."""
    for term in terms(text):
        if match := _VERDICTS.fullmatch(term):
            return [word for word in re.split(r"[\s,]+", match[1]) if word in list(enums.Verdict)]
    return []


def with_verdicts(text: str, chosen: Sequence[str]) -> str:
    """The expression, limited to some verdicts in place of what it was limited to."""
    rest = [term for term in terms(text) if not _VERDICTS.fullmatch(term)]
    if not chosen:
        return both(rest)
    only = equals("verdict", chosen[0]) if len(chosen) == 1 else f"verdict in ({', '.join(chosen)})"
    return both([only, *rest])


def namespace(text: str) -> str:
    """The namespace that one end has to be in, as `with_namespace` wrote it; empty for any."""
    for term in terms(text):
        if match := _NAMESPACE.fullmatch(term):
            return match[2]
    return ""


def with_namespace(text: str, name: str) -> str:
    """The expression, with one end in a namespace in place of the one it named."""
    rest = [term for term in terms(text) if not _NAMESPACE.fullmatch(term)]
    if not name:
        return both(rest)
    return both([*rest, equals("namespace", name)])


def edge(row: rows.Row) -> str:
    """What selects the flows of one row of ``queries.edges`` or ``queries.newly_denied``."""
    return both(
        [
            equals("verdict", row["verdict"]),
            equals("pending_verdict", row["pending_verdict"]) if "pending_verdict" in row else "",
            *_end(row, "src"),
            *_end(row, "dst"),
            equals("dst.port", row["dst_port"]) if row["dst_port"] else "",
            equals("protocol", row["protocol"].lower()),
        ]
    )


def _end(row: rows.Row, side: str) -> list[str]:
    kind, namespace, name = row[f"{side}_kind"], row[f"{side}_namespace"], row[side]
    if kind == enums.EndpointKind.POD:
        own = name.removeprefix(f"{namespace}/")
        return [equals(f"{side}.namespace", namespace), equals(f"{side}.workload", own)]
    named = kind in (enums.EndpointKind.NODE, enums.EndpointKind.NETWORK_SET)
    return [equals(f"{side}.workload" if named else f"{side}.address", name)]
