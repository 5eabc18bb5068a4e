import pathlib

from streamlit.testing.v1 import AppTest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_main_opens_the_overview(shop, monkeypatch):
    monkeypatch.setenv("FLOWLEDGER_APP_LEDGER", shop)
    page = AppTest.from_file(ROOT / "app" / "main.py", default_timeout=30).run()
    assert not page.exception
    assert page.subheader[0].value == "Overview"


def test_no_file_hides_a_package():
    """Streamlit puts the script's folder first on the path."""
    packages = {"model", "runtime", "policy", "collector", "enrich", "store", "app", "lab", "cli"}
    assert not packages & {path.stem for path in (ROOT / "app").iterdir()}
