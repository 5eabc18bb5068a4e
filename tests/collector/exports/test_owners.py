"""Owners of pods, by names and labels."""

import pytest

from collector.exports import owners

HASH = {"pod-template-hash": "6d9f5c7b8"}

CASES = {
    "Deployment by its label": ("web-6d9f5c7b8-*", HASH, ("Deployment", "web", "")),
    "Deployment by its hash": ("web-6d9f5c7b8-*", {}, ("Deployment", "web", "")),
    "a pod of a Deployment": ("web-6d9f5c7b8-x2x4z", {}, ("Deployment", "web", "web-6d9f5c7b8-x2x4z")),
    "a word is no hash": ("my-backend-*", {}, ("", "my-backend", "")),
    "letters alone are no hash": ("my-crypts-*", {}, ("", "my-crypts", "")),
    "DaemonSet by its label": ("agent-*", {"pod-template-generation": "1"}, ("DaemonSet", "agent", "")),
    "StatefulSet by its label": ("db-*", {"apps.kubernetes.io/pod-index": "0"}, ("StatefulSet", "db", "")),
    "a pod of a StatefulSet": (
        "db-0", {"statefulset.kubernetes.io/pod-name": "db-0"}, ("StatefulSet", "db", "db-0"),
    ),
    "Job by its label": ("once-*", {"job-name": "once"}, ("Job", "once", "")),
    "CronJob by its Job": ("report-29384750-*", {"job-name": "report-29384750"}, ("CronJob", "report", "")),
    "CronJob by its name": ("report-29384750-*", {}, ("CronJob", "report", "")),
    "a bare pod": ("toolbox", {}, ("Pod", "toolbox", "toolbox")),
    "a series of unknown kind": ("web-*", {}, ("", "web", "")),
    "nothing": ("", {}, ("", "", "")),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_owner(case):
    name, labels, owner = CASES[case]
    assert owners.owner(name, labels) == owner
