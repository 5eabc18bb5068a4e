"""What a page shows when there is nothing to show."""

from __future__ import annotations

import streamlit as st

from app.widgets import ledger
from model import errors


def waiting() -> None:
    """A ledger without a single row."""
    with st.container(border=True, key="waiting"):
        st.markdown("#### :material/hourglass_top: Waiting for the first interval…")
        st.markdown(
            "The ledger answers, and holds no flow yet. The first rows come when a collector's first "
            "interval ends, usually within ten seconds. If none come:\n\n"
            "- Is a collector running? `flowledger collect` has to run on each node, as root.\n"
            "- Does it write to this ledger? This page reads the one below.\n"
            "- Is there any traffic? One `ping` from a pod is enough.\n"
        )
        st.code(ledger.url(), language=None)


def down(error: errors.FlowledgerError) -> None:
    """A ledger that does not answer."""
    with st.container(border=True, key="down"):
        st.markdown("#### :material/power_off: The ledger does not answer")
        st.code(str(error), language=None, wrap_lines=True)
        st.markdown(
            "Start one with `flowledger up`, or try it out with `flowledger demo`. "
            "If it runs elsewhere, set `FLOWLEDGER_APP_LEDGER` to its URL and start this page again."
        )
        st.button("Try again", icon=":material/refresh:", key="again")


def nothing(what: str, advice: str) -> None:
    """An answer without rows.

    Args:
        what: What there is none of; a text of ours.
        advice: What to do about it; a text of ours.
    """
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(f"**{what}**", text_alignment="center")
        st.caption(advice, text_alignment="center")


def wrong(error: errors.FilterError) -> None:
    """A filter that does not parse, with a mark under the character where it stops making sense."""
    with st.container(key="wrong"):
        st.code(f"{error.text}\n{' ' * error.position}^ {error.reason}", language=None)
