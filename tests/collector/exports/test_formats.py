"""The formats together."""

from collector.exports import formats
from model import enums


def test_every_origin_but_ours_has_a_format():
    assert set(formats.FORMATS) == set(enums.Origin) - {enums.Origin.COLLECTOR}


def test_what_is_of_another_format_is_bad(read):
    into = read("hubble", {"SrcAddr": "10.0.0.1", "DstAddr": "10.0.0.2"}, 5, {"hello": "world"})
    assert [line for line, _ in into.bad] == [1, 2, 3]
    assert [why for _, why in into.bad] == [
        "a flow of netobserv, not of hubble", "no JSON object", "verdict is not there",
    ]  # fmt: skip


def test_first_that_tells_decides():
    assert (
        formats.detected([(1, {}), (2, {"TimeFlowEndMs": 1}), (3, {"verdict": "x", "IP": {}})]) == "netobserv"
    )
    assert formats.detected([(1, {})]) is None
