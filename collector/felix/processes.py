"""Felix among the processes of this machine."""

from __future__ import annotations

import itertools
import pathlib

PROCESSES = pathlib.Path("/proc")
_FELIX, _NODE, _CALICO = "calico-felix", "calico-node", "calico"
_PREFIX = "felix_"


def find(network: int, processes: pathlib.Path = PROCESSES) -> int:
    """Felix's process in a network namespace; 0 where none is seen.

    Those of other PID namespaces than ours are not.

    Args:
        network: Inode of the namespace.
        processes: Where the kernel shows processes.
    """
    for process in processes.glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            if is_felix(words) and (process / "ns/net").stat().st_ino == network:
                return int(process.name)
        except OSError:  # it has just ended, or is not ours to look at
            continue
    return 0


def is_felix(words: list[str]) -> bool:
    """Whether this is Felix's command line: until 3.32 that of ``calico-node``, since 3.33 of ``calico``.

    See node/filesystem/etc/service/available/felix/run of each.
    """
    name = pathlib.PurePath(words[0]).name
    if name == _CALICO:
        return ("component", "felix") in itertools.pairwise(words)
    return name == _FELIX or (name == _NODE and "-felix" in words)


def parameters(process: int, processes: pathlib.Path = PROCESSES) -> dict[str, str] | None:
    """What Felix's environment sets, by a parameter's name in small letters; None where it may not be read.

    These win over its file and over FelixConfiguration (felix/config/config_params.go).
    """
    try:
        raw = (processes / str(process) / "environ").read_bytes()
    except OSError:
        return None
    pairs = (one.partition("=") for one in raw.decode("utf-8", "replace").split("\0"))
    return {
        name.lower().removeprefix(_PREFIX): value
        for name, _, value in pairs
        if name.lower().startswith(_PREFIX)
    }
