"""Who owns a pod, by the names that Kubernetes' own controllers give."""

from __future__ import annotations

import re

from model import cluster

_HASH_LABEL = "pod-template-hash"
_CRON_SUFFIX = re.compile(r"-\d{8,10}$")
"""A CronJob names its Jobs by the scheduled time in minutes since 1970."""


def owner(pod: cluster.Pod) -> tuple[str, str]:
    """Kind and name of the pod's workload; a bare pod is its own.

    A ReplicaSet stands for the Deployment that made it when its name ends in the hash of the pod's template.
    """
    if not pod.owner_kind:
        return "Pod", pod.name
    suffix = f"-{pod.labels.get(_HASH_LABEL, '')}"
    if pod.owner_kind == "ReplicaSet" and len(suffix) > 1 and pod.owner_name.endswith(suffix):
        return "Deployment", pod.owner_name.removesuffix(suffix)
    if pod.owner_kind == "Job" and _CRON_SUFFIX.search(pod.owner_name):
        return "CronJob", _CRON_SUFFIX.sub("", pod.owner_name)
    return pod.owner_kind, pod.owner_name
