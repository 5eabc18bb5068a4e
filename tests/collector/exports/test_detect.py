"""Who wrote a flow."""

import pathlib

import pytest

from collector.exports import detect, formats, reading
from model import enums

CAPTURES = pathlib.Path(__file__).parents[2] / "captures/exports"
ORIGINS = {"goldmane": "goldmane", "whisker": "goldmane", "calico": "calico-enterprise",
           "hubble": "hubble", "netobserv": "netobserv"}  # fmt: skip
FILES = sorted(path.name for path in CAPTURES.iterdir() if path.suffix != ".md")


@pytest.mark.parametrize("name", FILES)
def test_every_flow_of_a_capture_is_known(name):
    wanted = enums.Origin(ORIGINS[name.split("-")[0].split(".")[0]])
    values = [value for piece in reading.pieces(CAPTURES / name) for value in piece.values]
    flows = formats.unwrapped(values)
    assert flows
    assert {detect.origin(flow) for _, flow in flows} - {None} == {wanted}
    assert formats.detected(flows) is wanted


@pytest.mark.parametrize("value", [{}, {"message": "hello"}, [], "x", None, 5], ids=str)
def test_what_is_no_flow_is_nobodys(value):
    assert detect.origin(value) is None
