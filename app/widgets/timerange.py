"""The choice of a time range."""

from __future__ import annotations

import streamlit as st

from app.widgets import location, spans

NAME = "range"
"""Name of the range in the address and in the session."""


def show() -> str:
    """Draw it; the name of the range."""
    location.follow(NAME, spans.DEFAULT, spans.RANGES)
    chosen = st.segmented_control(
        "Time range", list(spans.RANGES), required=True, key=NAME, label_visibility="collapsed",
        on_change=location.write, args=(NAME, spans.DEFAULT),
    )  # fmt: skip
    return chosen or spans.DEFAULT
