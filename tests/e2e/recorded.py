"""What a run of the demo left in its folder."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pyarrow.parquet

from cli import output


def rows(folder: pathlib.Path) -> list[dict]:
    """All flows of its ledger."""
    flows = folder / "flows.parquet"
    with flows.open("wb") as stream:
        subprocess.run(
            [sys.executable, "-m", "cli.main", "flows", "--ledger", f"chdb://{folder}/ledger",
             "--since", "1d", "--limit", "1000000", "-o", "parquet"],
            stdout=stream, check=True,
        )  # fmt: skip
    return output.plain(pyarrow.parquet.read_table(flows))
