"""The map: who talks to whom, as a drawing in Graphviz's language.

Names come from a cluster, where anybody may have chosen them: they go into quoted strings only, and nodes go
by numbers of our own.
"""

from __future__ import annotations

import dataclasses
import math
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence

from app.widgets import formats, palette, rows
from model import enums

MOST_NODES = 40
"""With more, workloads are drawn together by namespace."""

MOST_LINES = 150
"""With more still, only those with most connections are drawn, and the drawing says so."""

_LONGEST = 36
"""Letters of a name; all of it is in the tooltip. One long name would make all others small."""

_OUTSIDE = {
    enums.EndpointKind.PUBLIC.value: "internet",
    enums.EndpointKind.PRIVATE.value: "private addresses",
    enums.EndpointKind.AMBIGUOUS.value: "ambiguous addresses",
}
_GROUPS = {enums.EndpointKind.NODE.value: "nodes", enums.EndpointKind.NETWORK_SET.value: "network sets"}

_HEAD = f"""\
digraph {{
  rankdir=LR; bgcolor="transparent"; nodesep=0.22; ranksep=1.1; splines=spline; pad=0.15; newrank=true;
  fontname="Helvetica"; fontsize=11; fontcolor="{palette.MUTED}";
  node [shape=box style="rounded,filled" fillcolor="{palette.PAPER}" color="#b8c2cc" fontname="Helvetica"
    fontsize=12 fontcolor="{palette.INK}" height=0.34 margin="0.14,0.05"];
  edge [arrowsize=0.65 fontname="Helvetica" fontsize=10];"""


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Place:
    """One node of the map.

    Attributes:
        group: The frame around it; empty for none.
        name: What it says.
        side: ``src`` or ``dst`` for what is outside, which stands at both edges of the map; else empty.
    """

    group: str
    name: str
    side: str = ""


@dataclasses.dataclass(slots=True)
class Link:
    """One line of the map: all there was between two places with one verdict."""

    connections: int = 0
    bytes: int = 0


Links = dict[tuple[Place, Place, str], Link]
Placing = Callable[[rows.Row, str], Place]


def dot(answer: Sequence[rows.Row]) -> str:
    """The drawing of an answer of ``queries.graph``, grouped by namespace."""
    links = _links(answer, _workload)
    if len(_places(links)) > MOST_NODES:
        links = _links(answer, _namespace)
    drawn = _busiest(links)
    numbers = {place: number for number, place in enumerate(_places(drawn))}
    heaviest = max((link.bytes for link in drawn.values()), default=1)
    lines = [_HEAD, *_frames(numbers)]
    if len(drawn) < len(links):
        lines.append(f'  label="the busiest {len(drawn)} of {formats.count(len(links))} lines";')
    lines += [_line(numbers, key, link, heaviest) for key, link in drawn.items()]
    return "\n".join([*lines, "}"])


def quote(text: str) -> str:
    """A text as a quoted string of Graphviz, shown as it is.

    Backslashes begin escapes and ampersands begin entities there; control characters have no picture.
    """
    shown = "".join(" " if unicodedata.category(c) == "Cc" else c for c in text)
    for special, escaped in (("\\", "\\\\"), ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', '\\"')):
        shown = shown.replace(special, escaped)
    return f'"{shown}"'


def _workload(row: rows.Row, side: str) -> Place:
    kind, namespace, name = row[f"{side}_kind"], row[f"{side}_namespace"], row[side]
    if kind in _OUTSIDE:
        return Place("", _OUTSIDE[kind], side)
    return Place(_GROUPS.get(kind, str(namespace)), name.removeprefix(f"{namespace}/"))


def _namespace(row: rows.Row, side: str) -> Place:
    place = _workload(row, side)
    return Place("", place.group or place.name, place.side)


def _links(answer: Iterable[rows.Row], place: Placing) -> Links:
    links: Links = {}
    for row in answer:
        link = links.setdefault((place(row, "src"), place(row, "dst"), row["verdict"]), Link())
        link.connections += row["connections"]
        link.bytes += row["bytes"]
    # Not in the order of volume: the drawing would jump with each refresh.
    return dict(sorted(links.items()))


def _busiest(links: Links) -> Links:
    if len(links) <= MOST_LINES:
        return links
    order = sorted(links, key=lambda key: links[key].connections, reverse=True)
    return {key: links[key] for key in sorted(order[:MOST_LINES])}


def _places(links: Links) -> list[Place]:
    return sorted({place for source, destination, _ in links for place in (source, destination)})


def _frames(numbers: dict[Place, int]) -> Iterator[str]:
    for frame, group in enumerate(sorted({place.group for place in numbers})):
        inside = [_node(place, number) for place, number in numbers.items() if place.group == group]
        if not group:
            yield from (f"  {node}" for node in inside)
            continue
        yield f"  subgraph cluster_{frame} {{"
        yield f'    label={quote(group)} labeljust=l style="rounded,filled" fillcolor="{palette.SHADE}";'
        yield f'    color="{palette.LINE}" margin=12 tooltip={quote(group)};'
        yield from (f"    {node}" for node in inside)
        yield "  }"


def _node(place: Place, number: int) -> str:
    name = place.name if len(place.name) <= _LONGEST else f"{place.name[: _LONGEST - 1]}…"
    return f"n{number} [label={quote(name)} tooltip={quote(place.name)}];"


def _line(numbers: dict[Place, int], key: tuple[Place, Place, str], link: Link, heaviest: int) -> str:
    source, destination, verdict = key
    ends = f"n{numbers[source]} -> n{numbers[destination]}"
    colour = palette.BY_VERDICT.get(verdict, palette.MUTED)
    told = f"{source.name} → {destination.name}: {verdict}, {_volume(link)}"
    style, width = palette.LINES.get(verdict, "solid"), _width(link.bytes, heaviest)
    look = f'color="{colour}" style={style} penwidth={width}'
    label = ""
    if verdict == enums.Verdict.DENIED:
        label = f' label=" {formats.count(link.connections)} " fontcolor="{colour}"'
    return f"  {ends} [{look} tooltip={quote(told)} labeltooltip={quote(told)}{label}];"


def _volume(link: Link) -> str:
    return f"{formats.plural(link.connections, 'connection')}, {formats.size(link.bytes)}"


def _width(volume: int, heaviest: int) -> float:
    """From 1.2 to 5 points by magnitude, in halves, so that a few bytes more change nothing."""
    share = math.log1p(volume) / math.log1p(heaviest) if heaviest else 0.0
    return max(1.2, round(10 * share**3) / 2)
