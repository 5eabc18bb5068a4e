"""What settings say about zone and mark, as a request and as a filter of our own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from collector.conntrack import decode, scope
from collector.netlink import sockets
from model import errors


@pytest.mark.parametrize(
    ("zone", "mark", "expected"),
    [
        pytest.param(-1, "", scope.EVERYTHING, id="nothing"),
        pytest.param(0, "", scope.Scope(zone=0), id="zone 0 is a zone"),
        pytest.param(65_535, "", scope.Scope(zone=65_535), id="last zone"),
        pytest.param(-1, "5", scope.Scope(mark=5), id="mark"),
        pytest.param(-1, "0", scope.Scope(mark=0), id="mark 0 is a mark"),
        pytest.param(-1, "0x10/0xff", scope.Scope(mark=16, mask=255), id="mark and mask"),
        pytest.param(7, "0x10/0xff", scope.Scope(zone=7, mark=16, mask=255), id="both"),
        pytest.param(-1, "0xffffffff", scope.Scope(mark=0xFFFFFFFF), id="largest mark"),
    ],
)
def test_parse(zone: int, mark: str, expected: scope.Scope) -> None:
    assert scope.parse(zone, mark) == expected


@pytest.mark.parametrize(
    ("zone", "mark", "reason"),
    [
        pytest.param(-1, "red", "'red': write a number", id="no number"),
        pytest.param(-1, "1/red", "'1/red': write a number", id="mask that is no number"),
        pytest.param(-1, "-1", "out of range", id="negative"),
        pytest.param(-1, "0x100000000", "out of range", id="too large"),
        pytest.param(-1, "1/0x100000000", "out of range", id="mask too large"),
        pytest.param(65_536, "", "out of range", id="zone too large"),
        pytest.param(-2, "", "out of range", id="zone below none"),
    ],
)
def test_parse_says_what_is_wrong(zone: int, mark: str, reason: str) -> None:
    with pytest.raises(errors.SetupError, match=reason):
        scope.parse(zone, mark)


def _attributes(*pairs: tuple[int, str]) -> bytes:
    return b"".join(sockets.attribute(kind, bytes.fromhex(value)) for kind, value in pairs)


@pytest.mark.parametrize(
    ("wanted", "attributes"),
    [
        pytest.param(scope.EVERYTHING, b"", id="everything"),
        pytest.param(scope.Scope(zone=5), _attributes((18, "0005")), id="zone"),
        pytest.param(
            scope.Scope(mark=16, mask=255), _attributes((8, "00000010"), (21, "000000ff")), id="mark"
        ),
    ],
)
def test_request(wanted: scope.Scope, attributes: bytes) -> None:
    get, dump, any_family = 0x101, 0x301, bytes(4)
    assert wanted.request() == sockets.message(get, dump & ~1, any_family + attributes)


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        pytest.param(scope.EVERYTHING, [0, 1, 2, 3], id="everything"),
        pytest.param(scope.Scope(zone=5), [1, 3], id="zone"),
        pytest.param(scope.Scope(zone=0), [0, 2], id="zone 0"),
        pytest.param(scope.Scope(mark=0x10), [0], id="mark"),
        pytest.param(scope.Scope(mark=0x10, mask=0xF0), [0, 1], id="mark and mask"),
        pytest.param(scope.Scope(zone=5, mark=0x10, mask=0xF0), [1], id="both"),
        pytest.param(scope.Scope(mark=0xFFFFFFFF), [3], id="all bits"),
    ],
)
def test_select(connections: Callable[..., decode.Connections], wanted: scope.Scope, kept: list[int]) -> None:
    rows = connections(
        {"id": 0, "mark": 0x10},
        {"id": 1, "mark": 0x1F, "zone": 5},
        {"id": 2, "mark": 0x20},
        {"id": 3, "mark": 0xFFFFFFFF, "zone": 5},
    )
    assert sorted(wanted.select(rows)["id"].tolist()) == kept
