"""How to start the explorer in a process of its own; Streamlit itself is not imported here."""

from __future__ import annotations

import os
import pathlib
import sys

from app.widgets import palette

LEDGER = "FLOWLEDGER_APP_LEDGER"
"""The environment variable that tells the explorer where the ledger is."""

DEFAULT_LEDGER = "http://127.0.0.1:8123"

_FOLDER = pathlib.Path(__file__).resolve().parent

_OPTIONS = {
    "logger.level": "warning",
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "server.showEmailPrompt": "false",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.disableDataExport": "true",
    "client.showErrorDetails": "none",
    "theme.base": "light",
    "theme.primaryColor": palette.PRIMARY,
    "theme.backgroundColor": palette.PAPER,
    "theme.secondaryBackgroundColor": palette.SHADE,
    "theme.textColor": palette.INK,
    "theme.linkColor": palette.PRIMARY,
    "theme.linkUnderline": "false",
    "theme.borderColor": palette.LINE,
    "theme.dataframeBorderColor": palette.LINE,
    "theme.dataframeHeaderBackgroundColor": palette.SHADE,
    "theme.codeTextColor": palette.INK,
    "theme.codeBackgroundColor": palette.SHADE,
    "theme.font": palette.FONT,
    "theme.baseFontSize": "15",
    "theme.baseRadius": "6px",
    "theme.headingFontWeights": "650",
    "theme.metricValueFontSize": "1.7rem",
    "theme.metricValueFontWeight": "600",
    "theme.showWidgetBorder": "true",
}


def command(ledger_url: str, host: str, port: int) -> tuple[list[str], dict[str, str]]:
    """Arguments and environment of the process that serves the explorer at ``http://host:port``.

    Args:
        ledger_url: The ledger to show, as ``store.transport.open`` takes it.
        host: Where to listen.
        port: On which port.
    """
    options = {**_OPTIONS, "server.address": host, "server.port": str(port)}
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    argv = [sys.executable, "-m", "streamlit", "run", str(_FOLDER / "main.py"), *flags]
    return argv, {**os.environ, LEDGER: ledger_url, "PYTHONPATH": _python_path()}


def _python_path() -> str:
    """Streamlit puts the script's folder on the path, and not the one that our packages lie in."""
    given = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join(part for part in (str(_FOLDER.parent), given) if part)
