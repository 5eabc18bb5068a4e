import subprocess
import sys

import pytest

from app import launch


def test_command_names_ledger_and_address():
    argv, environment = launch.command("http://127.0.0.1:9000", "127.0.0.1", 8501)
    assert argv[1:4] == ["-m", "streamlit", "run"]
    assert argv[4].endswith("app/main.py")
    flags = dict(zip(argv[5::2], argv[6::2], strict=True))
    assert flags["--server.address"] == "127.0.0.1"
    assert flags["--server.port"] == "8501"
    assert flags["--server.headless"] == "true"
    assert flags["--browser.gatherUsageStats"] == "false"
    assert flags["--server.fileWatcherType"] == "none"
    assert flags["--client.toolbarMode"] == "minimal"
    assert environment["FLOWLEDGER_APP_LEDGER"] == "http://127.0.0.1:9000"


@pytest.mark.parametrize("module", ["app.launch", "app.widgets.palette"])
def test_launch_does_without_streamlit(module):
    """The command line calls it where Streamlit may not be installed."""
    check = f"import sys; sys.modules['streamlit'] = None; import {module}"
    subprocess.run([sys.executable, "-c", check], check=True)
