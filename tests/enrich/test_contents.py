"""What an object is, without what changes by itself."""

from __future__ import annotations

from typing import Any

import pytest

from enrich import contents
from model import cluster, errors, manifest


def _document(kind: str, version: str, labels: object = (), **body: Any) -> manifest.Document:
    metadata = {"name": "one", "namespace": "shop", "labels": dict(labels), **body.pop("metadata", {})}
    return manifest.Document("f", 1, {"apiVersion": version, "kind": kind, "metadata": metadata, **body})


POLICY = ("NetworkPolicy", "networking.k8s.io/v1")
CALICO = ("NetworkPolicy", "projectcalico.org/v3")


def test_what_passes_is_no_other_content() -> None:
    one = _document(*POLICY, spec={"podSelector": {}}, metadata={"uid": "u"})
    same = _document(
        *POLICY,
        spec={"podSelector": {}},
        status={"x": 1},
        metadata={
            "resourceVersion": "2",
            "generation": 3,
            "managedFields": [],
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
    )
    other = _document(*POLICY, spec={"podSelector": {"matchLabels": {"a": "b"}}})
    assert contents.content(one) == contents.content(same) != contents.content(other)
    assert contents.text(contents.content(one).document) == (
        '{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy",'
        '"metadata":{"labels":{},"name":"one","namespace":"shop"},"spec":{"podSelector":{}}}'
    )
    assert contents.created(same) == 1_767_225_600 * 10**9


def test_of_a_namespace_labels_alone_matter() -> None:
    one = _document(
        "Namespace", "v1", {"a": "b"}, spec={"finalizers": ["x"]}, metadata={"annotations": {"n": "1"}}
    )
    assert contents.content(one) == contents.content(_document("Namespace", "v1", {"a": "b"}))


def _cron_job(template: dict[str, Any], **spec: Any) -> manifest.Document:
    spec = {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": template}}, **spec}
    return _document("CronJob", "batch/v1", spec=spec)


JOB = {"metadata": {"labels": {"app": "backup"}}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param(_cron_job({**JOB, "spec": {"containers": [{"image": "a:2"}]}}), True, id="image"),
        pytest.param(_cron_job(JOB, failedJobsHistoryLimit=3), True, id="history"),
        pytest.param(_cron_job(JOB, schedule="0 4 * * *"), False, id="schedule"),
        pytest.param(_cron_job(JOB, timeZone="Europe/Berlin"), False, id="time zone"),
        pytest.param(_cron_job(JOB, suspend=True), False, id="suspended"),
        pytest.param(_cron_job({**JOB, "metadata": {"labels": {"app": "a"}}}), False, id="labels"),
    ],
)
def test_of_a_cron_job_its_times_matter_and_whose_its_pods_are(other: manifest.Document, same: bool) -> None:
    one = _cron_job(JOB)
    assert (contents.content(one).digest == contents.content(other).digest) is same
    (read,) = cluster.read([contents.content(other).document]).workloads
    assert (read.kind, read.namespace, read.name) == ("CronJob", "shop", "one")


def test_of_a_cron_job_nothing_secret_is_kept() -> None:
    secret = {"spec": {"containers": [{"env": [{"name": "PASSWORD", "value": "hunter2"}]}]}}
    assert "hunter2" not in contents.text(contents.content(_cron_job(secret)).document)


@pytest.mark.parametrize(
    ("document", "tier"),
    [
        pytest.param(_document(*POLICY, spec={}), "", id="Kubernetes"),
        pytest.param(_document(*CALICO, spec={}), "default", id="the default tier"),
        pytest.param(_document(*CALICO, spec={"tier": "security"}), "security", id="a tier"),
    ],
)
def test_tier_is_that_of_calicos_policies(document: manifest.Document, tier: str) -> None:
    assert contents.content(document).tier == tier


def test_calicos_objects_are_the_same_however_they_are_served() -> None:
    stored = _document("NetworkPolicy", "crd.projectcalico.org/v1")
    assert (
        contents.owner(stored)
        == contents.owner(_document(*CALICO))
        == ("projectcalico.org", "NetworkPolicy", "shop", "one")
    )


@pytest.mark.parametrize(
    ("document", "kept"),
    [
        pytest.param(_document(*POLICY), True, id="policy"),
        pytest.param(_document("Pod", "v1"), False, id="pod"),
        pytest.param(_cron_job(JOB), True, id="CronJob"),
        pytest.param(_document("EndpointSlice", "discovery.k8s.io/v1"), True, id="slice made by hand"),
        pytest.param(
            _document(
                "EndpointSlice",
                "discovery.k8s.io/v1",
                {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"},
            ),
            False,
            id="slice that follows from pods",
        ),
    ],
)
def test_what_policies_need_is_kept(document: manifest.Document, kept: bool) -> None:
    assert contents.is_kept(document) is kept


@pytest.mark.parametrize(
    ("document", "concerns"),
    [
        pytest.param(_document(*POLICY), True, id="policy"),
        pytest.param(_document("Namespace", "v1"), True, id="what policies speak of"),
        pytest.param(_cron_job(JOB), False, id="CronJob"),
        pytest.param(_document("Pod", "v1"), False, id="pod"),
    ],
)
def test_what_a_change_of_changes_verdicts(document: manifest.Document, concerns: bool) -> None:
    assert contents.concerns_policies(document) is concerns


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        pytest.param(
            _document("NetworkSet", "projectcalico.org/v3", spec={"nets": ["x"]}), "must be a CIDR",
            id="network set",
        ),
        pytest.param(_document("CronJob", "batch/v1"), "spec: is missing", id="CronJob without spec"),
        pytest.param(_cron_job({"spec": {"containers": "x"}}), "must be a list", id="CronJob's containers"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(document: manifest.Document, reason: str) -> None:
    """Or one object would keep whoever reads the ledger from all the others."""
    with pytest.raises(errors.ManifestError, match=reason):
        contents.content(document)
