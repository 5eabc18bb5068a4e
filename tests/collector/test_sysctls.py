"""The kernel's switches: which are off, and how they are turned on."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from collector import sysctls
from model import errors

ACCOUNTING, TIMESTAMPS = sysctls.ACCOUNTING, sysctls.TIMESTAMPS
SWITCHES = [
    pytest.param(0, 0, [ACCOUNTING, TIMESTAMPS], id="both off"),
    pytest.param(0, 1, [ACCOUNTING], id="accounting off"),
    pytest.param(1, 0, [TIMESTAMPS], id="timestamps off"),
    pytest.param(1, 1, [], id="both on"),
]


def _read(namespace) -> list[str]:
    folder = pathlib.Path("/proc/sys/net/netfilter")
    return namespace.within(lambda: [(folder / name).read_text().strip() for name in sysctls.MEANING])


@pytest.mark.net
@pytest.mark.parametrize(("acct", "timestamp", "off"), SWITCHES)
def test_missing_are_those_that_are_off(namespace, acct: int, timestamp: int, off: list[str]) -> None:
    namespace.sysctl(acct=acct, timestamp=timestamp)
    assert sysctls.missing(namespace.path, set_them=False) == off
    assert _read(namespace) == [str(acct), str(timestamp)]


@pytest.mark.net
@pytest.mark.parametrize(("acct", "timestamp", "off"), SWITCHES)
def test_set_them_leaves_none_off(namespace, acct: int, timestamp: int, off: list[str]) -> None:
    namespace.sysctl(acct=acct, timestamp=timestamp)
    assert sysctls.missing(namespace.path, set_them=True) == []
    assert _read(namespace) == ["1", "1"]


READ_ONLY = """
import pathlib, sys
from collector import sysctls
from model import errors
path = pathlib.Path(sys.argv[1])
print(sysctls.missing(path, set_them=False))
try:
    sysctls.missing(path, set_them=True)
except errors.SetupError as error:
    print(error)
"""


@pytest.mark.net
def test_switch_that_may_not_be_set_is_named(namespace) -> None:
    """As in a container, to which /proc/sys is read-only."""
    namespace.sysctl(acct=1, timestamp=0)
    mounts = "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$0" -c "$1" "$2"',
         sys.executable, READ_ONLY, str(namespace.path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == (
        "['nf_conntrack_timestamp']\n"
        "cannot turn on net.netfilter.nf_conntrack_timestamp (Read-only file system): set it as root with "
        "`sysctl net.netfilter.nf_conntrack_timestamp=1`, or leave out --set-sysctls\n"
    )


@pytest.mark.parametrize("set_them", [False, True])
def test_kernel_without_tracking_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, set_them: bool
) -> None:
    monkeypatch.setattr(sysctls, "_FOLDER", tmp_path)
    with pytest.raises(errors.SetupError, match="tracks no connections here: modprobe nf_conntrack"):
        sysctls.missing(None, set_them=set_them)
