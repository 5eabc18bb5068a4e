"""Changes of policies as people have them: files, a folder against an older one or a revision, deletions."""

from __future__ import annotations

import dataclasses
import io
import pathlib
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Sequence

from enrich import contents
from model import errors, manifest
from policy import objects, parse, preview


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What is to become of some objects.

    Attributes:
        added: Those that are new or other than before.
        deleted: Those that go.
        strict: Whether those that go have to be there.
    """

    added: tuple[manifest.Document, ...]
    deleted: tuple[preview.Object, ...]
    strict: bool = True

    @property
    def named(self) -> tuple[preview.Object, ...]:
        """What it adds or changes."""
        return tuple(preview.identity(one) for one in self.added)

    def of(self, documents: Sequence[manifest.Document]) -> list[manifest.Document]:
        """Documents as they are afterwards.

        Raises:
            SetupError: If an object to delete is not among them.
        """
        there = {preview.identity(one) for one in documents}
        if self.strict and (missing := [one for one in self.deleted if one not in there]):
            raise errors.SetupError(f"there is no {text(missing[0])} to delete")
        return preview.changed(documents, self.added, [one for one in self.deleted if one in there])

    def parts(self, documents: Sequence[manifest.Document]) -> dict[str, list[str]]:
        """What becomes of which objects, as people name them.

        They are ``added``, ``changed``, ``unchanged`` or ``deleted``, or ``missing`` where they should be
        deleted.
        """
        bodies = {preview.identity(one): one.body for one in documents}
        found: dict[str, list[str]] = {}
        for one in self.added:
            key = preview.identity(one)
            done = "unchanged" if bodies.get(key) == one.body else "changed" if key in bodies else "added"
            found.setdefault(done, []).append(text(key))
        for key in self.deleted:
            found.setdefault("deleted" if key in bodies else "missing", []).append(text(key))
        return found


def wanted(
    paths: Sequence[pathlib.Path], deleted: Sequence[str], old: pathlib.Path | None, revision_name: str
) -> Change:
    """The change that somebody asks about.

    Args:
        paths: Files and folders of manifests.
        deleted: As for `files`.
        old: A folder to compare the one of ``paths`` with.
        revision_name: A revision of git to compare it with.

    Raises:
        FlowledgerError: If nothing is asked, or it cannot be read.
    """
    if old or revision_name:
        if deleted or len(paths) != 1 or (old and revision_name):
            raise errors.SetupError(
                "name one folder, and what it is compared with: --from FOLDER or --git REVISION"
            )
        return folders(old, paths[0]) if old else revision(revision_name, paths[0])
    if not paths and not deleted:
        raise errors.SetupError("name manifests to add or change, or a policy with --delete")
    return files(paths, deleted)


def files(paths: Iterable[pathlib.Path], deleted: Iterable[str] = ()) -> Change:
    """What some manifests add or change, and what is deleted beside.

    Args:
        paths: Files and folders.
        deleted: Identities of policies, as in ``knp/shop/web``.

    Raises:
        FlowledgerError: If a manifest cannot be read, or an identity is none.
    """
    named = list(paths)
    added = [one for path in named for one in _checked(_load(path))]
    if named and not added:
        raise errors.SetupError(f"nothing that policies are read from is in {', '.join(map(str, named))}")
    _each_once(added)
    gone = tuple(_named(text) for text in deleted)
    if both := set(gone) & {preview.identity(one) for one in added}:
        raise errors.SetupError(f"{text(both.pop())} is both in a manifest and to be deleted")
    return Change(tuple(added), gone)


def between(old: Iterable[manifest.Document], new: Iterable[manifest.Document]) -> Change:
    """What leads from some manifests to others.

    Raises:
        ManifestError: If one of the new ones is not understood.
        SetupError: If policies are read from none of them.
    """
    before = {preview.identity(one): one for one in _kept(old)}
    after = {preview.identity(one): one for one in _each_once(_checked(new))}
    if not before and not after:
        raise errors.SetupError("nothing that policies are read from is in either folder")
    added = tuple(one for key, one in after.items() if key not in before or before[key].body != one.body)
    return Change(added, tuple(key for key in before if key not in after), strict=False)


def folders(old: pathlib.Path, new: pathlib.Path) -> Change:
    """What leads from one folder of manifests to another.

    Raises:
        FlowledgerError: If a manifest cannot be read.
    """
    return between(_load(old), _load(new))


def revision(name: str, new: pathlib.Path) -> Change:
    """What has changed in a folder since a revision of the git repository that it is in.

    Raises:
        FlowledgerError: If git does not know it, or a manifest cannot be read.
    """
    if not new.exists():
        raise errors.SetupError(f"no manifests at {new}: there is no such file or folder")
    folder = new if new.is_dir() else new.parent
    try:
        tree = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except _GitError as error:
        raise errors.SetupError(str(error) or f"git knows no revision {name!r} of {folder}") from None
    part = "." if new.is_dir() else new.name
    commit = tree.decode().strip()
    if not _git(folder, "ls-tree", commit, "--", part):
        return between([], _load(new))
    packed = _git(folder, "archive", "--format=tar", commit, "--", part)
    with tempfile.TemporaryDirectory(prefix="flowledger-") as place:
        _unpack(packed, place)
        try:
            old = _load(pathlib.Path(place))
        except errors.ManifestError as error:
            file = f"{name}:{pathlib.Path(error.file).relative_to(place)}"
            raise errors.ManifestError(file, error.document, error.field, error.reason) from None
    return between(old, _load(new))


def _unpack(packed: bytes, place: str) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(place, filter="data")
    except tarfile.FilterError as error:
        raise errors.SetupError(f"that revision has what leads out of its folder: {error}") from error


class _GitError(errors.SetupError):
    """Git has refused something; it may have said why."""


def _git(folder: pathlib.Path, *words: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=True)
    except OSError as error:
        raise errors.SetupError(f"git cannot be run: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        raise _GitError(error.stderr.decode(errors="replace").strip().partition("\n")[0]) from error
    return done.stdout


def _load(path: pathlib.Path) -> list[manifest.Document]:
    return list(manifest.load(path))


def _kept(documents: Iterable[manifest.Document]) -> list[manifest.Document]:
    """Those that policies are read from, or that they speak of."""
    return [one for one in documents if contents.concerns_policies(one)]


def _checked(documents: Iterable[manifest.Document]) -> list[manifest.Document]:
    """The same, after making sure that no policy is left out for being of a kind that nobody knows.

    Raises:
        ManifestError: If one is not understood.
    """
    found = list(documents)
    parse.parse(found)
    return _kept(found)


def _each_once(documents: Sequence[manifest.Document]) -> Sequence[manifest.Document]:
    """The same, after making sure that no two are about one object."""
    seen: dict[preview.Object, manifest.Document] = {}
    for one in documents:
        first = seen.setdefault(preview.identity(one), one)
        if first is not one:
            raise one.field().error(f"{text(preview.identity(one))} is in {first.file} too")
    return documents


def text(of: preview.Object) -> str:
    """What people call an object: ``knp/shop/web``, ``Tier/security``."""
    group, kind, namespace, name = of
    return "/".join(filter(None, (objects.KINDS.get((group, kind), kind), namespace, name)))


_KIND_OF = {word: key for key, word in objects.KINDS.items()}


def _named(identity: str) -> preview.Object:
    word, *rest = identity.split("/")
    group, kind = _KIND_OF.get(word, ("", ""))
    wanted = 1 if kind in preview.CLUSTER_WIDE else 2
    if not kind or len(rest) != wanted or not all(rest):
        raise errors.SetupError(
            f"{identity!r} is no policy: write KIND/NAMESPACE/NAME, as in knp/shop/web, or KIND/NAME if it "
            f"is in none; kinds are {', '.join(sorted(_KIND_OF))}"
        )
    return group, kind, rest[0] if wanted > 1 else "", rest[-1]
