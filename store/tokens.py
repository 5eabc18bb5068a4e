"""The engine's log of tokens, made true again after a kill.

A table that is not replicated writes a block's token into its log first, and gives the block's part its name
then. A kill between the two leaves a token of rows that are not there, and whoever offered them offers them
again in vain: one of 400 blocks that were being written when a server was killed was lost so. Both are done
under one lock, so that it is the log's last line or none.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

_PART = re.compile(r"(?P<partition>[^_]+)_(?P<first>\d+)_(?P<last>\d+)_\d+(?:_\d+)?", re.ASCII)
_ADDED = "1"


def mend(data: pathlib.Path) -> list[pathlib.Path]:
    """Take tokens of rows that are not there out of the logs of an engine that does not run.

    Args:
        data: The engine's folder.

    Returns:
        The logs that were mended.

    Raises:
        OSError: If one cannot be read or written.
    """
    return [log for log in map(_newest, _folders(data)) if log and _mend(log)]


def _folders(data: pathlib.Path) -> Iterator[pathlib.Path]:
    """Where each table has its log."""
    store = data / "store"
    for prefix in sorted(store.iterdir()) if store.exists() else ():
        for table in sorted(prefix.iterdir()) if prefix.is_dir() else ():
            if (table / "deduplication_logs").is_dir():
                yield table / "deduplication_logs"


def _newest(folder: pathlib.Path) -> pathlib.Path | None:
    """The last log that says anything; they are numbered."""
    logs = [log for log in folder.glob("deduplication_log_*.txt") if log.stat().st_size]
    return max(logs, key=lambda log: int(re.sub(r"\D", "", log.name)), default=None)


def _mend(log: pathlib.Path) -> bool:
    content = log.read_bytes()
    start = content.rfind(b"\n", 0, -1) + 1
    operation, _, rest = content[start:].decode(errors="replace").partition("\t")
    part = _PART.fullmatch(rest.partition("\t")[0])
    if operation != _ADDED or part is None or _there(part, log.parents[1]):
        return False
    with log.open("r+b") as file:
        file.truncate(start)
    return True


def _there(part: re.Match[str], table: pathlib.Path) -> bool:
    """Whether a table has a part, or one that it was merged into."""
    found = [_PART.fullmatch(entry.name) for entry in table.iterdir()]
    return any(
        one["partition"] == part["partition"]
        and int(one["first"]) <= int(part["first"]) <= int(part["last"]) <= int(one["last"])
        for one in found if one
    )  # fmt: skip
