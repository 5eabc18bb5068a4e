"""Who owns a pod: whoever is on top, as far as it is known, else by the names that Kubernetes gives."""

from __future__ import annotations

import re
from collections.abc import Mapping

from model import cluster

Reference = tuple[str, str, str]
"""Kind, namespace and name of an object."""

BETWEEN = ("ReplicaSet", "Job")
"""What stands between pods and the workload that people know."""

_HASH_LABEL = "pod-template-hash"
_CRON_SUFFIX = re.compile(r"-\d{8,10}$")
"""A CronJob names its Jobs by the scheduled time in minutes since 1970."""
_MADE_UP = re.compile(r"[bcdfghjklmnpqrstvwxz2456789]{5}")
"""What the API server puts behind a ``generateName`` (k8s.io/apimachinery/pkg/util/rand)."""


def owner(pod: cluster.Pod, owned: Mapping[Reference, cluster.Owned] | None = None) -> tuple[str, str]:
    """Kind and name of the pod's workload; a bare pod is its own.

    Args:
        pod: Whose.
        owned: What is known of those that stand between pods and their workload.
    """
    if pod.static:
        return "Pod", pod.name.removesuffix(f"-{pod.node}")
    if not pod.owner_kind:
        return "Pod", _series(pod)
    between = (owned or {}).get((pod.owner_kind, pod.namespace, pod.owner_name))
    return top(between) if between else _by_name(pod)


def top(between: cluster.Owned) -> tuple[str, str]:
    """Kind and name of the workload that something between belongs to; its own where nobody owns it."""
    return between.owner_kind or between.kind, between.owner_name or between.name


def _series(pod: cluster.Pod) -> str:
    """What the pods of one ``generateName`` have in common; else the pod's own name."""
    made_up = pod.name.removeprefix(pod.generate_name)
    if pod.generate_name and made_up != pod.name and _MADE_UP.fullmatch(made_up):
        return pod.generate_name.rstrip("-.") or pod.name
    return pod.name


def _by_name(pod: cluster.Pod) -> tuple[str, str]:
    """The owner of an owner that is not known.

    A ReplicaSet stands for the Deployment that made it when its name ends in the hash of the pod's template.
    """
    suffix = f"-{pod.labels.get(_HASH_LABEL, '')}"
    if pod.owner_kind == "ReplicaSet" and len(suffix) > 1 and pod.owner_name.endswith(suffix):
        return "Deployment", pod.owner_name.removesuffix(suffix)
    if pod.owner_kind == "Job" and _CRON_SUFFIX.search(pod.owner_name):
        return "CronJob", _CRON_SUFFIX.sub("", pod.owner_name)
    return pod.owner_kind, pod.owner_name
