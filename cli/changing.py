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
from policy import objects, preview


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What is to become of some objects.

    Attributes:
        added: Those that are new or other than before.
        deleted: Those that go.
    """

    added: tuple[manifest.Document, ...]
    deleted: tuple[preview.Object, ...]

    def of(self, documents: Sequence[manifest.Document]) -> list[manifest.Document]:
        """Documents as they are afterwards.

        Raises:
            SetupError: If an object to delete is not among them.
        """
        try:
            return preview.changed(documents, self.added, self.deleted)
        except LookupError as error:
            raise errors.SetupError(str(error)) from None


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
    added = [one for path in paths for one in _kept(_load(path))]
    return Change(tuple(added), tuple(_named(text) for text in deleted))


def between(old: Iterable[manifest.Document], new: Iterable[manifest.Document]) -> Change:
    """What leads from some manifests to others."""
    before = {preview.identity(one): one for one in _kept(old)}
    after = {preview.identity(one): one for one in _kept(new)}
    added = tuple(one for key, one in after.items() if key not in before or before[key].body != one.body)
    return Change(added, tuple(key for key in before if key not in after))


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
    packed = _git(folder, "archive", "--format=tar", name, "--", "." if new.is_dir() else new.name)
    with tempfile.TemporaryDirectory(prefix="flowledger-") as place:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(place, filter="data")
        old = [
            dataclasses.replace(one, file=f"{name}:{pathlib.Path(one.file).relative_to(place)}")
            for one in manifest.load(pathlib.Path(place))
        ]
    return between(old, _load(new))


def _git(folder: pathlib.Path, *words: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=True)
    except OSError as error:
        raise errors.SetupError(f"git cannot be run: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise errors.SetupError(f"git does not have that: {said}") from error
    return done.stdout


def _load(path: pathlib.Path) -> list[manifest.Document]:
    return list(manifest.load(path))


def _kept(documents: Iterable[manifest.Document]) -> list[manifest.Document]:
    """Those that policies are read from, or that they speak of."""
    return [one for one in documents if contents.concerns_policies(one)]


_KIND_OF = {word: key for key, word in objects.KINDS.items()}


def _named(text: str) -> preview.Object:
    word, *rest = text.split("/")
    if word not in _KIND_OF or len(rest) not in (1, 2) or not all(rest):
        raise errors.SetupError(
            f"{text!r} is no policy: write knp/NAMESPACE/NAME; kinds are {', '.join(sorted(_KIND_OF))}"
        )
    group, kind = _KIND_OF[word]
    return group, kind, rest[0] if len(rest) == 2 else "", rest[-1]
