"""Who owns a pod, by what an export says of it: its name, or a series' as Calico writes it, and labels.

Kubernetes names pods by their owner: a Deployment's ``web-6d9f5c7b8-x2x4z``, of which Calico keeps
``web-6d9f5c7b8-*`` (felix/collector/types/endpoint/endpoint.go), a CronJob's ``report-29384750-*``. What
neither name nor labels tell stays without a kind, rather than with a wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_MADE_UP = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{5}$")
"""What the API server puts behind a ``generateName``, in letters that make no words."""
_HASH = re.compile(r"-(?=[a-z]*[2456789])[bcdfghjklmnpqrstvwxz2456789]{6,10}$")
"""A pod template's hash, which has the same letters; nearly always a digit among them."""
_SCHEDULED = re.compile(r"-\d{8,10}$")
_INDEX = re.compile(r"-\d+$")

_TEMPLATE = "pod-template-hash"
_JOBS = ("batch.kubernetes.io/job-name", "job-name")
_STATEFUL = ("statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index")
_DAEMON = "pod-template-generation"


def owner(name: str, labels: Mapping[str, str]) -> tuple[str, str, str]:
    """Kind and name of a pod's owner, and the pod's own name.

    Args:
        name: A pod's name, or what the names of several begin with and ``*``.
        labels: The pod's, or those that all of them have.

    Returns:
        The kind is empty where nothing tells it, the pod where it is a series; a bare pod is its own owner.
    """
    if not name:
        return "", "", ""
    series = name.endswith("*")
    pod = "" if series else name
    stem = name[:-1].rstrip("-.") if series else _MADE_UP.sub("", name)
    told = _by_labels(stem, labels)
    if told:
        return *told, pod
    if stem == name:
        return "Pod", name, name
    return *_by_name(stem), pod


def _by_labels(stem: str, labels: Mapping[str, str]) -> tuple[str, str] | None:
    suffix = f"-{labels.get(_TEMPLATE, '')}"
    if len(suffix) > 1 and stem.endswith(suffix):
        return "Deployment", stem.removesuffix(suffix)
    job = next((labels[name] for name in _JOBS if labels.get(name)), "")
    if job:
        return _job(job)
    if any(name in labels for name in _STATEFUL):
        return "StatefulSet", _INDEX.sub("", stem)
    return ("DaemonSet", stem) if _DAEMON in labels else None


def _by_name(stem: str) -> tuple[str, str]:
    if _SCHEDULED.search(stem):
        return _job(stem)
    if _HASH.search(stem):
        return "Deployment", _HASH.sub("", stem)
    return "", stem


def _job(name: str) -> tuple[str, str]:
    """A CronJob names its Jobs by the scheduled time in minutes since 1970."""
    return ("CronJob", _SCHEDULED.sub("", name)) if _SCHEDULED.search(name) else ("Job", name)
