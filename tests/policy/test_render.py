"""Parsed, rendered and parsed again, a policy is the same; and one form is the form of all."""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import worlds

from model import errors, manifest
from policy import parse, render


def _document(body: dict[str, Any]) -> manifest.Document:
    return manifest.Document("f", 1, body)


@given(st.integers(0, 10**9))
def test_nothing_changes_its_meaning(seed: int) -> None:
    maker = worlds.Maker(seed)
    for i, make in enumerate((maker.knp, maker.np, maker.gnp, maker.cnp, maker.anp)):
        body = make(i)
        before = parse.parse([_document(body)]).everything()
        rendered = render.normal(_document(body))
        for text in (json.dumps(rendered), manifest.text(rendered)):
            again = yaml.safe_load(text)
            assert parse.parse([_document(again)]).everything() == before
            assert render.normal(_document(again)) == rendered


def test_what_is_filled_in_is_written_out() -> None:
    body = {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "p", "labels": {"a": "b"}, "uid": "7"},
        "spec": {"ingress": [{"from": None, "ports": [{"port": 80}]}]}, "status": {},
    }  # fmt: skip
    assert render.normal(_document(body)) == {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"ingress": [{"ports": [{"protocol": "TCP", "port": 80}]}], "policyTypes": ["Ingress"],
                 "podSelector": {}},
    }  # fmt: skip


def test_tier_and_order_of_calico() -> None:
    body = {"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": "g"},
            "spec": {"order": 10, "egress": [{"action": "Allow"}]}}  # fmt: skip
    spec = render.normal(_document(body))["spec"]
    assert (spec["tier"], spec["order"], spec["types"]) == ("default", 10, ["Egress"])


def test_what_is_no_policy_is_refused() -> None:
    with pytest.raises(errors.ManifestError, match="is no policy"):
        render.normal(_document({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}))
