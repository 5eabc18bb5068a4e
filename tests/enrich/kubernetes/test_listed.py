"""A cluster listed once."""

from __future__ import annotations

import pytest
from apiserver import ApiServer, Fault
from mirror import pod

from enrich.kubernetes import client, listed
from model import errors

PODS, SERVICES, CRON_JOBS = "/api/v1/pods", "/api/v1/services", "/apis/batch/v1/cronjobs"


def test_all_that_policies_are_about(server: ApiServer, api: client.Api) -> None:
    server.served["/apis/crd.projectcalico.org/v1"] = {"tiers": "Tier"}
    server.apply(PODS, pod("web"))
    server.apply(SERVICES, {"metadata": {"name": "web", "namespace": "shop"}, "spec": {}})
    server.apply("/apis/crd.projectcalico.org/v1/tiers", {"metadata": {"name": "security"}, "spec": {}})
    server.apply(CRON_JOBS, {"metadata": {"name": "backup", "namespace": "shop"}, "spec": {}})
    found = {(one.group, one.kind): one for one in listed.documents(api)}
    assert found.keys() >= {("", "Pod"), ("", "Service"), ("projectcalico.org", "Tier"), ("batch", "CronJob")}
    assert found["", "Pod"].file == "pods/shop/web"


@pytest.mark.parametrize(
    ("collection", "status"),
    [
        pytest.param(PODS, 403, id="pods that may not be listed"),
        pytest.param(CRON_JOBS, 500, id="CronJobs that cannot be listed"),
    ],
)
def test_kind_that_is_not_shown_is_an_error(
    server: ApiServer, api: client.Api, collection: str, status: int
) -> None:
    server.fault(collection, "list", Fault("status", number=status))
    with pytest.raises(errors.ApiError):
        list(listed.documents(api))


def test_cron_jobs_that_may_not_be_listed_are_left_out(server: ApiServer, api: client.Api) -> None:
    """No verdict follows from them, and whoever asks for one may not have the right."""
    server.apply(PODS, pod("web"))
    server.forbidden.add(CRON_JOBS)
    assert [one.kind for one in listed.documents(api)] == ["Pod"]
