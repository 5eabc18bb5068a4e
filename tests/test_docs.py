"""What the documentation says is what there is."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGES = sorted(p.stem for p in ROOT.joinpath("docs/reference").glob("*.md"))


@pytest.mark.parametrize("page", ["flow-record", "filters", "settings"])
def test_reference_pages_are_up_to_date(page):
    command = [sys.executable, "-m", "cli.main", "reference", page]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert ROOT.joinpath(f"docs/reference/{page}.md").read_text() == said


@pytest.mark.parametrize(
    "file", [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *ROOT.glob("docs/**/*.md")], ids=str
)
def test_links_lead_somewhere(file):
    for target in re.findall(r"\]\((?!http)([^)#]+)", file.read_text()):
        assert file.parent.joinpath(target).exists(), target


def test_every_flag_in_the_readme_exists():
    text = (
        ROOT.joinpath("README.md").read_text() + ROOT.joinpath("docs/howto/collect-on-a-node.md").read_text()
    )
    sources = "".join(p.read_text() for p in ROOT.joinpath("cli").glob("*.py"))
    for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)):
        assert flag in sources, flag
