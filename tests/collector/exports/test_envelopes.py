"""Envelopes around flows."""

import json

import pytest

from collector.exports import envelopes

FLOW = {"a": 1}
LINE = json.dumps({"b": 2})

CASES = {
    "a flow itself": (FLOW, [FLOW]),
    "a list": ([FLOW, FLOW], [FLOW, FLOW]),
    "Elasticsearch's answer": ({"hits": {"hits": [{"_index": "i", "_source": FLOW}]}}, [FLOW]),
    "a line of elasticdump": ({"_index": "i", "_source": FLOW}, [FLOW]),
    "Whisker": ({"total": {"totalPages": 1}, "items": [FLOW]}, [FLOW]),
    "Goldmane's answer": ({"flows": [{"id": "1", "flow": FLOW}]}, [FLOW]),
    "Hubble": ({"flow": FLOW, "node_name": "n", "time": "t"}, [{"node_name": "n", "time": "t", "a": 1}]),
    "a gateway's stream": ({"result": {"flow": FLOW}}, [FLOW]),
    "Loki's push": ({"streams": [{"stream": {"l": "x"}, "values": [["1", LINE]]}]}, [{"l": "x", "b": 2}]),
    "Loki's answer": (
        {"data": {"resultType": "streams", "result": [{"stream": {"l": "x"}, "values": [["1", LINE, {}]]}]}},
        [{"l": "x", "b": 2}],
    ),
    "logcli": ({"labels": {"l": "x"}, "line": LINE, "timestamp": "t"}, [{"l": "x", "b": 2}]),
    "nothing in it": ({"items": []}, []),
    "no object": ("x", ["x"]),
    "a line that is no JSON": ({"labels": {}, "line": "x"}, ["x"]),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_envelope_is_taken_off(case):
    value, flows = CASES[case]
    assert list(envelopes.unwrap(value)) == flows


def test_too_many_envelopes_have_nothing_in_them():
    value = FLOW
    for _ in range(20):
        value = {"result": value}
    assert list(envelopes.unwrap(value)) == []
