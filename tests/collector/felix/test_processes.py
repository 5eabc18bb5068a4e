"""Felix among processes, in folders that look like /proc."""

from __future__ import annotations

import pathlib

import pytest

from collector.felix import processes

OLD, NEW = ["calico-node", "-felix"], ["/usr/bin/calico", "component", "felix"]


def _process(folder: pathlib.Path, number: int, words: list[str], namespace: pathlib.Path) -> pathlib.Path:
    made = folder / str(number)
    (made / "ns").mkdir(parents=True)
    (made / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))
    (made / "ns/net").symlink_to(namespace)
    return made


@pytest.fixture
def namespaces(tmp_path: pathlib.Path) -> list[pathlib.Path]:
    made = [tmp_path / "one", tmp_path / "other"]
    for path in made:
        path.touch()
    return made


@pytest.mark.parametrize(
    ("words", "is_felix"),
    [
        pytest.param(["calico-felix"], True, id="a program of its own"),
        pytest.param(OLD, True, id="until 3.32"),
        pytest.param(["/usr/bin/calico-node", "-felix"], True, id="by its path"),
        pytest.param(NEW, True, id="since 3.33"),
        pytest.param(["calico-node", "-confd"], False, id="another part"),
        pytest.param(["calico", "component", "node", "felix"], False, id="another part since 3.33"),
        pytest.param(["calico", "ctl", "get", "felix"], False, id="somebody asks for it"),
        pytest.param([""], False, id="kernel thread"),
        pytest.param(["sh", "calico-felix"], False, id="in another's command line"),
    ],
)
def test_command_line(words: list[str], is_felix: bool) -> None:
    assert processes.is_felix(words) == is_felix


@pytest.mark.parametrize("words", [OLD, NEW], ids=["old", "new"])
def test_found_in_its_namespace_alone(
    tmp_path: pathlib.Path, namespaces: list[pathlib.Path], words: list[str]
) -> None:
    one, other = namespaces
    _process(tmp_path / "proc", 7, ["sh"], one)
    _process(tmp_path / "proc", 42, words, one)
    assert processes.find(one.stat().st_ino, tmp_path / "proc") == 42
    assert processes.find(other.stat().st_ino, tmp_path / "proc") == 0


def test_process_that_has_just_ended_is_passed_over(
    tmp_path: pathlib.Path, namespaces: list[pathlib.Path]
) -> None:
    (_process(tmp_path / "proc", 7, OLD, namespaces[0]) / "ns/net").unlink()
    (tmp_path / "proc/8").mkdir()
    assert processes.find(namespaces[0].stat().st_ino, tmp_path / "proc") == 0


def test_parameters(tmp_path: pathlib.Path) -> None:
    (tmp_path / "42").mkdir()
    (tmp_path / "42/environ").write_bytes(
        b"PATH=/bin\0FELIX_FLOWLOGSGOLDMANESERVER=goldmane.calico-system.svc:7443\0Felix_IpInIpMtu=0\0"
        b"FELIX_X=a=b\0NOFELIX_Y=1\0broken\0"
    )
    assert processes.parameters(42, tmp_path) == {
        "flowlogsgoldmaneserver": "goldmane.calico-system.svc:7443", "ipinipmtu": "0", "x": "a=b",
    }  # fmt: skip


def test_parameters_that_may_not_be_read(tmp_path: pathlib.Path) -> None:
    assert processes.parameters(42, tmp_path) is None
