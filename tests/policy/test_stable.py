"""Labels that find the pods of a workload, of all its versions, and nobody else's."""

from __future__ import annotations

import itertools
import pathlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from observed import pod

from policy import record, stable

Labels = dict[str, str]


def _labels(*variants: record.Variant) -> list[tuple[str, Labels]]:
    return [(group.name, dict(group.labels)) for group in stable.groups(variants)]


@pytest.mark.parametrize(
    ("labels", "others", "expected"),
    [
        pytest.param({"app": "web"}, [], {"app": "web"}, id="the only one"),
        pytest.param({"app": "web", "team": "red"}, [{"app": "db", "team": "red"}], {"app": "web"},
                     id="what others do not have"),
        pytest.param({"app": "web", "role": "a"}, [{"app": "web", "role": "b"}], {"role": "a"},
                     id="another label"),
        pytest.param({"app": "web", "role": "a"}, [{"app": "web", "role": "b"}, {"app": "db", "role": "a"}],
                     {"app": "web", "role": "a"}, id="two labels"),
        pytest.param({"zone": "x", "app": "web"}, [], {"app": "web"}, id="one that people know"),
        pytest.param({"app": "web", "app.kubernetes.io/name": "web"}, [], {"app.kubernetes.io/name": "web"},
                     id="the first choice"),
        pytest.param({"b": "1", "a": "1"}, [], {"a": "1"}, id="the first by name"),
        pytest.param({"app": "web", "version": "2"}, [{"app": "web", "version": "1"}], {"version": "2"},
                     id="of a release where nothing else tells"),
        pytest.param({"app": "web", "role": "a", "version": "2"},
                     [{"app": "web", "role": "b"}, {"app": "db", "role": "a"}],
                     {"app": "web", "role": "a"}, id="two rather than one of a release"),
        pytest.param({"app": "web", "helm.sh/chart": "web-1.2"}, [], {"app": "web"}, id="no chart"),
        pytest.param({"a": "1", "b": "1", "c": "1", "d": "1", "e": "1"},
                     [{name: "2" if name == other else "1" for name in "abcde"} for other in "abcde"],
                     dict.fromkeys("abcde", "1"), id="more than four"),
    ],
)  # fmt: skip
def test_labels(labels: Labels, others: list[Labels], expected: Labels) -> None:
    strangers = [pod(f"x{i}", labels=one) for i, one in enumerate(others)]
    assert dict(_labels(pod("web", labels=labels), *strangers))["web"] == expected


@pytest.mark.parametrize(
    "label",
    [
        pytest.param("pod-template-hash", id="Deployment"),
        pytest.param("rollouts-pod-template-hash", id="Argo's Rollout"),
        pytest.param("controller-revision-hash", id="StatefulSet"),
        pytest.param("pod-template-generation", id="DaemonSet"),
        pytest.param("statefulset.kubernetes.io/pod-name", id="replica"),
        pytest.param("apps.kubernetes.io/pod-index", id="number of a replica"),
        pytest.param("job-name", id="Job"),
        pytest.param("controller-uid", id="Job's number"),
        pytest.param("batch.kubernetes.io/job-name", id="Job of today"),
        pytest.param("batch.kubernetes.io/controller-uid", id="Job's number of today"),
        pytest.param("topology.kubernetes.io/zone", id="where its node stands"),
    ],
)
def test_label_that_is_made_up_is_never_taken(label: str) -> None:
    """Even where nothing else tells pods apart, or nothing else is there at all."""
    (alone,) = stable.groups([pod("web", labels={label: "x"})])
    assert (alone.labels, alone.warning) == (
        (), "no label that all of its pods have outlives a rollout: no selector can name them",
    )  # fmt: skip
    (both,) = stable.groups(
        [pod("db", labels={"app": "same", label: "1"}), pod("web", labels={"app": "same", label: "2"})]
    )
    assert both.labels == (("app", "same"),)


@pytest.mark.parametrize(
    ("variants", "warning"),
    [
        pytest.param([pod("web")], "", id="in order"),
        pytest.param([pod("web", labels={})],
                     "no label that all of its pods have outlives a rollout: no selector can name them",
                     id="no labels"),
        pytest.param([pod("web", labels={"app": "web"}), pod("web", labels={"name": "web"})],
                     "no label that all of its pods have outlives a rollout: no selector can name them",
                     id="no label in common"),
        pytest.param([pod("web", labels={"version": "2", "release-of": "x"})],
                     "only release-of tells its pods from others, which a release may change", id="release"),
        pytest.param([pod("web", labels={"app": "x"}), pod("db", labels={"app": "x"})],
                     "the labels of db, web do not tell their pods apart: what one of them needs all may do",
                     id="the same labels"),
    ],
)  # fmt: skip
def test_warning(variants: list[record.Variant], warning: str) -> None:
    (group,) = stable.groups(variants)
    assert group.warning == warning


def test_label_that_a_version_changed_is_not_taken() -> None:
    """Of the recorded past counts what is stable over it: also pods that are gone have to be found."""
    old, new = pod("web", labels={"app": "web", "role": "a"}), pod("web", labels={"app": "web", "role": "b"})
    assert _labels(old, new, pod("db", labels={"app": "db", "role": "a"})) == [
        ("db", {"app": "db"}), ("web", {"app": "web"})
    ]  # fmt: skip


def test_pods_of_the_past_are_not_found_by_labels_of_others() -> None:
    gone = pod("old", labels={"app": "web", "role": "a"}, last=1)
    assert _labels(pod("web", labels={"app": "web", "role": "b"}), gone) == [
        ("old", {"role": "a"}), ("web", {"role": "b"})
    ]  # fmt: skip


def test_namespaces_are_apart() -> None:
    """A selector is about one namespace, so that the same labels in another are of no matter."""
    found = stable.groups([pod("web", "shop", labels={"app": "x"}), pod("db", "bank", labels={"app": "x"})])
    assert [(str(group), group.labels, group.warning) for group in found] == [
        ("bank/db", (("app", "x"),), ""), ("shop/web", (("app", "x"),), "")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "groups"),
    [
        pytest.param([{"app": "x"}, {"app": "x", "role": "y"}], ["w0 w1: app=x"], id="one finds another"),
        pytest.param([{"app": "x"}, {"app": "x", "role": "y"}, {"role": "y"}, {"app": "d"}],
                     ["w0 w1 w2: ", "w3: app=d"], id="the next one finds it too"),
        pytest.param([{"app": "x", "a": "1"}, {"app": "x", "a": "1"}, {"app": "x", "a": "2"}],
                     ["w0 w1: a=1", "w2: a=2"], id="apart from a third"),
    ],
)  # fmt: skip
def test_groups_are_put_together_until_all_can_be_told_apart(labels: list[Labels], groups: list[str]) -> None:
    found = stable.groups([pod(f"w{i}", labels=one) for i, one in enumerate(labels)])
    assert groups == [
        f"{' '.join(one.name for one in group.workloads)}: {','.join(map('='.join, group.labels))}"
        for group in found
    ]


NAMES = ("app", "role", "version", "pod-template-hash")
LABELS = st.dictionaries(st.sampled_from(NAMES), st.sampled_from("ab"), max_size=4)
WORKLOADS = st.dictionaries(
    st.tuples(st.sampled_from(("shop", "bank")), st.sampled_from(("w0", "w1", "w2", "w3"))),
    st.lists(LABELS, min_size=1, max_size=2), max_size=6,
)  # fmt: skip


def _variants(workloads: dict[tuple[str, str], list[Labels]]) -> list[record.Variant]:
    return [pod(name, space, labels=one) for (space, name), sets in workloads.items() for one in sets]


def _matches(labels: tuple[tuple[str, str], ...], one: record.Variant) -> bool:
    return all(one.labels.get(name) == value for name, value in labels)


@given(WORKLOADS)
def test_labels_find_their_workloads_and_no_others(workloads: dict[tuple[str, str], list[Labels]]) -> None:
    variants = _variants(workloads)
    found = stable.groups(variants)
    owners = [one for group in found for one in group.workloads]
    assert sorted(map(str, owners)) == sorted({str(one.workload) for one in variants}), "each is in one group"
    for group in found:
        assert not any(name == "pod-template-hash" for name, _ in group.labels)
        assert all(one.namespace == group.namespace for one in group.workloads)
        if group.labels:
            matched = [
                one for one in variants
                if one.workload.namespace == group.namespace and _matches(group.labels, one)
            ]  # fmt: skip
            ours = [one for one in variants if one.workload in group.workloads]
            assert matched == ours


@given(WORKLOADS)
def test_no_fewer_labels_would_do(workloads: dict[tuple[str, str], list[Labels]]) -> None:
    """Of those that a release may not change, if any of these do."""
    variants = _variants(workloads)
    for group in stable.groups(variants):
        ours = [one for one in variants if one.workload in group.workloads]
        others = [
            one for one in variants
            if one.workload.namespace == group.namespace and one.workload not in group.workloads
        ]  # fmt: skip
        common = set.intersection(*(set(one.labels.items()) for one in ours))
        usable = [item for item in common if item[0] != "pod-template-hash"]
        sizes = {
            passing: [
                len(some) for size in range(1, len(usable) + 1)
                for some in itertools.combinations(usable, size)
                if not any(_matches(some, one) for one in others)
                and (passing or all(name != "version" for name, _ in some))
            ] for passing in (False, True)
        }  # fmt: skip
        assert len(group.labels) == min(sizes[False] or sizes[True], default=0)
        passing = any(name == "version" for name, _ in group.labels)
        assert passing == (not sizes[False] and bool(sizes[True]))


@given(WORKLOADS, st.integers(0, 5))
def test_rollout_changes_nothing(workloads: dict[tuple[str, str], list[Labels]], which: int) -> None:
    variants = _variants(workloads)
    if variants:
        old = variants[which % len(variants)]
        labels = {**old.labels, "pod-template-hash": "new"}
        new = pod(old.workload.name, old.workload.namespace, labels=labels)
        assert stable.groups([*variants, new]) == stable.groups(variants)
