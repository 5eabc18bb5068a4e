"""The guards of plain top-level packages: no name is anybody else's, and each heavy client has one door."""

from __future__ import annotations

import importlib.metadata
import pathlib
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def test_every_package_is_listed() -> None:
    assert sorted(PACKAGES) == sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
    assert PROJECT["tool"]["mypy"]["packages"] == PACKAGES
    assert PROJECT["tool"]["importlinter"]["root_packages"] == PACKAGES


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_has_the_name(package: str) -> None:
    owners = importlib.metadata.packages_distributions().get(package, [])
    assert set(owners) <= {PROJECT["project"]["name"]}


@pytest.mark.parametrize("package", PACKAGES)
def test_name_is_not_the_standard_library_s(package: str) -> None:
    assert package not in sys.stdlib_module_names


def test_tests_are_no_package() -> None:
    """``tests/collector/__init__.py`` would be the package ``collector``."""
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_no_file_of_the_app_is_named_like_a_package() -> None:
    """``streamlit run`` puts the script's folder first on the path."""
    names = {path.stem for path in (ROOT / "app").iterdir()}
    assert not names & {*PACKAGES, *sys.stdlib_module_names}


HEAVY = ("chdb", "clickhouse_driver", "kubernetes", "streamlit", "pandas")


@pytest.mark.parametrize("module", ["model", "runtime", "policy", "collector", "enrich", "lab", "cli.main"])
def test_heavy_clients_stay_behind_their_doors(module: str) -> None:
    """Every module of the package is imported, in a fresh interpreter."""
    names = [module] if "." in module else sorted(_modules(module))
    script = f"import sys, {', '.join(names)}\nprint(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def _modules(package: str) -> set[str]:
    files = (file.relative_to(ROOT) for file in (ROOT / package).rglob("*.py"))
    return {".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("*.whl")
    return zipfile.ZipFile(file)


def test_wheel_has_all_modules_and_data(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {"lab/manifests/policies.yaml", "lab/manifests/workloads.yaml", "app/main.py"} <= names
    ours = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.suffix in (".py", ".yaml", ".sql", ".toml", ".css")
    }
    assert ours <= names


def test_wheel_has_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert tops - {*PACKAGES} == {f"flowledger-{PROJECT['project']['version']}.dist-info"}
    assert not [name for name in wheel.namelist() if "test" in name or name.endswith(".pyc")]


def test_wheel_has_the_command(wheel: zipfile.ZipFile) -> None:
    (entry,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "flowledger = cli.main:main" in wheel.read(entry).decode()


LOCK = (ROOT / "requirements.lock").read_text()


def test_lock_names_no_address() -> None:
    """Neither an index nor a file: who installs chooses where from."""
    assert not re.findall(r"https?://|file:|@ |--(?:extra-)?index-url|--find-links", LOCK)


def test_lock_has_hashes_of_everything() -> None:
    entries = re.split(r"(?m)^(?=[a-z0-9])", "".join(re.split(r"(?m)^ *#.*\n", LOCK)))
    pinned = [entry for entry in entries if entry.strip()]
    assert len(pinned) > 20
    for entry in pinned:
        assert re.match(r"[a-z0-9][a-z0-9._-]*==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_lock_has_every_dependency() -> None:
    wanted = [*PROJECT["project"]["dependencies"]]
    for extra in PROJECT["project"]["optional-dependencies"].values():
        wanted += extra
    names = {re.split(r"[><=\[ ]", requirement, maxsplit=1)[0].lower() for requirement in wanted}
    assert names <= set(re.findall(r"(?m)^([a-z0-9][a-z0-9._-]*)==", LOCK))
