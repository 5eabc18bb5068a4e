"""The generated module is what its .proto generates."""

from __future__ import annotations

import pathlib
import subprocess
import sys

from collector.goldmane import goldmane_pb2 as pb

FOLDER = pathlib.Path(__file__).parents[3] / "collector" / "goldmane"


def test_generating_it_again_gives_the_very_same_files(tmp_path: pathlib.Path) -> None:
    command = [
        sys.executable, "-m", "grpc_tools.protoc", "-I", str(FOLDER), f"--python_out={tmp_path}",
        f"--pyi_out={tmp_path}", str(FOLDER / "goldmane.proto"),
    ]  # fmt: skip
    subprocess.run(command, check=True, timeout=60)
    for name in ("goldmane_pb2.py", "goldmane_pb2.pyi"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), name


def test_numbers_alone_have_the_fields_of_a_flow() -> None:
    whole, numbers = pb.Flow.DESCRIPTOR.fields_by_name, pb.FlowNumbers.DESCRIPTOR.fields_by_name
    assert {name: field.number for name, field in numbers.items()} == {
        name.lower(): field.number for name, field in whole.items() if not name.endswith("_labels")
    }
    assert pb.NumbersUpdate.DESCRIPTOR.fields_by_name["flow"].number == 1
