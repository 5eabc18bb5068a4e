"""A cluster listed once."""

from __future__ import annotations

import pytest
from apiserver import ApiServer
from mirror import pod

from enrich.kubernetes import client, listed
from model import errors

PODS, SERVICES = "/api/v1/pods", "/api/v1/services"


def test_all_that_policies_are_about(server: ApiServer, api: client.Api) -> None:
    server.served["/apis/crd.projectcalico.org/v1"] = {"tiers": "Tier"}
    server.apply(PODS, pod("web"))
    server.apply(SERVICES, {"metadata": {"name": "web", "namespace": "shop"}, "spec": {}})
    server.apply("/apis/crd.projectcalico.org/v1/tiers", {"metadata": {"name": "security"}, "spec": {}})
    found = {(one.group, one.kind): one for one in listed.documents(api)}
    assert found.keys() >= {("", "Pod"), ("", "Service"), ("projectcalico.org", "Tier")}
    assert found["", "Pod"].file == "pods/shop/web"


def test_kind_that_may_not_be_listed_is_an_error(server: ApiServer, api: client.Api) -> None:
    server.forbidden.add(PODS)
    with pytest.raises(errors.ApiError):
        list(listed.documents(api))
