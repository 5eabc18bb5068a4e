"""Changes of policies as people have them: files, folders, revisions of git, deletions."""

from __future__ import annotations

import json
import pathlib
import subprocess
from typing import Any

import pytest

from cli import changing
from model import errors, manifest

Body = dict[str, Any]
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main")


def _policy(name: str, namespace: str = "shop", **spec: Any) -> Body:
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace}, "spec": {"podSelector": {}, **spec},
    }  # fmt: skip


def _calico(kind: str, name: str, version: str = "projectcalico.org/v3", **spec: Any) -> Body:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


SHOP: Body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
POD: Body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}, "spec": {}}
WEB, CART, OPEN = _policy("web"), _policy("cart"), _policy("web", ingress=[{}])
TIER = _calico("Tier", "sec", order=1)


def _write(path: pathlib.Path, *bodies: Body) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"kind": "List", "items": list(bodies)}))
    return path


def _documents(*bodies: Body) -> list[manifest.Document]:
    return [manifest.Document("f", i, body) for i, body in enumerate(bodies, 1)]


def _git(folder: pathlib.Path, *words: str) -> None:
    subprocess.run([*GIT, "-C", str(folder), *words], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: pathlib.Path) -> pathlib.Path:
    """One with policies in a folder, as of the tag ``old``, and other things around them."""
    top = tmp_path / "repository"
    _write(top / "policies" / "a.yaml", WEB, CART, SHOP)
    _write(top / "elsewhere" / "b.yaml", _policy("other"))
    _git(top, "init")
    _git(top, "add", ".")
    _git(top, "commit", "-m", "one")
    _git(top, "tag", "old")
    return top


def _told(change: changing.Change) -> tuple[list[Body], list[str]]:
    return [one.body for one in change.added], [changing.text(one) for one in change.deleted]


@pytest.mark.parametrize(
    ("old", "new", "added", "deleted"),
    [
        ([WEB, CART], [WEB, CART], [], []), ([WEB], [CART, WEB], [CART], []),
        ([WEB, CART], [OPEN], [OPEN], ["knp/shop/cart"]),
        ([TIER, SHOP], [WEB], [WEB], ["Tier/sec", "Namespace/shop"]),
        ([WEB, POD], [WEB], [], []), ([], [WEB, POD], [WEB], []),
        ([_calico("Tier", "sec", "crd.projectcalico.org/v1", order=1)], [TIER], [TIER], []),
    ],
    ids=["nothing", "one more", "another and one less", "others than policies", "pods are of no matter",
         "the first", "stored and served"],
)  # fmt: skip
def test_folder_against_an_older_one(
    tmp_path: pathlib.Path, old: list[Body], new: list[Body], added: list[Body], deleted: list[str]
) -> None:
    for name, bodies in (("old", old), ("new", new)):
        _write(tmp_path / name / "sub" / "a.json", *bodies)
    change = changing.wanted([tmp_path / "new"], [], tmp_path / "old", "")
    assert _told(change) == (added, deleted)
    # and from there it is no way at all
    after = change.of(_documents(*old))
    assert changing.between(after, _documents(*new)) == changing.Change((), (), strict=False)


@pytest.mark.parametrize("part", ["policies", "policies/a.yaml", "."])
@pytest.mark.parametrize("revision", ["old", "HEAD", "main", "HEAD~0"])
def test_folder_against_a_revision(
    repository: pathlib.Path, monkeypatch: pytest.MonkeyPatch, part: str, revision: str
) -> None:
    """What is not committed counts; other folders do not, unless they are in the one that is named."""
    _write(repository / "policies" / "a.yaml", OPEN, SHOP)
    monkeypatch.chdir(repository)
    change = changing.wanted([pathlib.Path(part)], [], None, revision)
    assert _told(change) == ([OPEN], ["knp/shop/cart"])


def test_folder_that_a_revision_does_not_have_is_new(repository: pathlib.Path) -> None:
    _write(repository / "new" / "a.yaml", WEB)
    assert _told(changing.revision("old", repository / "new")) == ([WEB], [])


def test_revision_has_its_own_place_in_errors(repository: pathlib.Path) -> None:
    (repository / "policies" / "a.yaml").write_text("kind: [")
    _git(repository, "commit", "-am", "two")
    _write(repository / "policies" / "a.yaml", WEB)
    with pytest.raises(errors.ManifestError, match=r"^HEAD:a.yaml, document 1"):
        changing.revision("HEAD", repository / "policies")


def test_revision_is_never_a_flag_of_git(repository: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.SetupError, match="no revision"):
        changing.revision(f"--output={tmp_path}/stolen", repository / "policies")
    assert not (tmp_path / "stolen").exists()


def test_link_out_of_a_revision_is_refused(repository: pathlib.Path) -> None:
    (repository / "policies" / "link.yaml").symlink_to("/etc/hostname")
    _git(repository, "add", ".")
    _git(repository, "commit", "-m", "two")
    (repository / "policies" / "link.yaml").unlink()
    with pytest.raises(errors.SetupError, match="leads out of its folder"):
        changing.revision("HEAD", repository / "policies")


def test_git_that_is_not_there_is_said(repository: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(errors.SetupError, match="git cannot be run: No such file"):
        changing.revision("HEAD", repository / "policies")


def test_files_and_deletions(tmp_path: pathlib.Path) -> None:
    one, two = _write(tmp_path / "a.yaml", OPEN, POD), _write(tmp_path / "more" / "b.yaml", SHOP)
    change = changing.wanted([one, two.parent], ["knp/shop/cart", "gnp/all", "kbanp/default"], None, "")
    assert _told(change) == ([OPEN, SHOP], ["knp/shop/cart", "gnp/all", "kbanp/default"])


EVERYTHING = {
    "knp/shop/web": WEB, "np/default/c": _calico("NetworkPolicy", "c"),
    "gnp/g": _calico("GlobalNetworkPolicy", "g"), "snp/default/s": _calico("StagedNetworkPolicy", "s"),
    "sgnp/s": _calico("StagedGlobalNetworkPolicy", "s"),
    "sknp/default/s": _calico("StagedKubernetesNetworkPolicy", "s", podSelector={}),
    **{f"{word}/a": _calico(kind, "a", "policy.networking.k8s.io/v1alpha1") for word, kind in (
        ("kanp", "AdminNetworkPolicy"), ("kbanp", "BaselineAdminNetworkPolicy"),
        ("kcnp", "ClusterNetworkPolicy"))},
}  # fmt: skip


@pytest.mark.parametrize("name", EVERYTHING)
def test_policy_of_each_kind_can_be_deleted(name: str) -> None:
    documents = _documents(*EVERYTHING.values())
    left = [one.body for one in changing.files([], [name]).of(documents)]
    assert left == [body for key, body in EVERYTHING.items() if key != name]


@pytest.mark.parametrize(
    ("paths", "deleted", "old", "revision", "reason"),
    [
        ([], [], "", "", "name manifests to add or change, or a policy with --delete"),
        (["a.yaml", "b.yaml"], [], "old", "", "name one folder, and what it is compared with"),
        (["a.yaml"], [], "old", "HEAD", "name one folder"), ([], [], "", "HEAD", "name one folder"),
        (["a.yaml"], ["knp/shop/web"], "", "HEAD", "name one folder"),
        (["gone.yaml"], [], "", "", "no manifests at gone.yaml: there is no such file or folder"),
        (["gone"], [], "", "HEAD", "no manifests at gone: there"),
        (["a.yaml"], [], "gone", "", "no manifests at gone"),
        (["a.yaml"], [], "", "HEAD", "not a git repository"),
        (["wrong.yaml"], [], "", "", "wrong.yaml, document 1"),
        (["typo.yaml"], [], "", "", "there is no kind NetworkPolcy of networking.k8s.io"),
        (["alien.yaml"], [], "", "", "this version does not know CiliumNetworkPolicy of cilium.io"),
        (["pod.yaml"], [], "", "", "nothing that policies are read from is in pod.yaml"),
        (["pod.yaml"], [], "pod.yaml", "", "nothing that policies are read from is in either"),
        (["a.yaml", "a2.yaml"], [], "", "", "knp/shop/web is in a.yaml too"),
        (["tier.yaml", "tier2.yaml"], [], "", "", "Tier/sec is in tier.yaml too"),
        (["ns.yaml", "ns2.yaml"], [], "", "", "Namespace/shop is in ns.yaml too"),
        (["a.yaml"], ["knp/shop/web"], "", "", "knp/shop/web is both in a manifest and to be deleted"),
        ([], ["web"], "", "", "'web' is no policy: write KIND/NAMESPACE/NAME, as in knp/shop/web"),
        ([], ["knp/web"], "", "", "'knp/web' is no policy"), ([], ["gnp/shop/web"], "", "", "is no policy"),
        ([], ["knp//web"], "", "", "is no policy"), ([], ["Tier/sec"], "", "", "is no policy"),
    ],
    ids=["nothing", "two folders", "folder and revision", "no folder", "folder and deletion", "missing file",
         "missing folder", "missing older folder", "no repository", "no YAML", "mistyped kind",
         "unknown kind", "no policies", "none in both", "policy twice", "tier twice", "namespace twice",
         "both added and deleted", "no kind", "no namespace", "one namespace too many", "empty namespace",
         "no policy"],
)  # fmt: skip
def test_wrong_change_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, paths: list[str], deleted: list[str], old: str,
    revision: str, reason: str,
) -> None:  # fmt: skip
    for name, body in {
        "a.yaml": WEB, "a2.yaml": OPEN, "b.yaml": CART, "old/a.yaml": WEB, "pod.yaml": POD, "ns.yaml": SHOP,
        "ns2.yaml": SHOP, "typo.yaml": {**WEB, "kind": "NetworkPolcy"}, "tier.yaml": TIER,
        "tier2.yaml": _calico("Tier", "sec", "crd.projectcalico.org/v1"),
        "alien.yaml": {**WEB, "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy"},
    }.items():  # fmt: skip
        _write(tmp_path / name, body)
    (tmp_path / "wrong.yaml").write_text("kind: [")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.FlowledgerError) as raised:
        changing.wanted(
            [pathlib.Path(path) for path in paths], deleted, pathlib.Path(old) if old else None, revision
        )
    assert reason in str(raised.value)


def test_policy_that_is_to_go_has_to_be_there() -> None:
    """But where folders are compared: what a folder no longer has, the cluster may never have had."""
    there = _documents(CART, SHOP)
    with pytest.raises(errors.SetupError, match="there is no knp/shop/web to delete"):
        changing.files([], ["knp/shop/web"]).of(there)
    change = changing.between(_documents(WEB, CART), _documents(SHOP))
    assert [one.body for one in change.of(there)] == [SHOP]
    assert change.parts(there) == {
        "unchanged": ["Namespace/shop"], "missing": ["knp/shop/web"], "deleted": ["knp/shop/cart"],
    }  # fmt: skip


def test_parts_are_what_becomes_of_objects() -> None:
    change = changing.between([], _documents(OPEN, CART, TIER))
    assert change.parts(_documents(WEB, CART)) == {
        "changed": ["knp/shop/web"], "unchanged": ["knp/shop/cart"], "added": ["Tier/sec"],
    }  # fmt: skip
    assert [changing.text(one) for one in change.named] == ["knp/shop/web", "knp/shop/cart", "Tier/sec"]
