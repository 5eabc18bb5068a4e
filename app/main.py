"""The explorer: ``streamlit run app/main.py``."""

from __future__ import annotations

import streamlit as st

from app.views import flows, overview
from app.widgets import palette


def main() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="Flowledger", page_icon=palette.ICON, layout="wide")
    st.html(palette.STYLE)
    st.logo(palette.LOGO, size="medium")
    st.navigation(
        [st.Page(overview.page, title="Overview", default=True), flows.here()], position="top"
    ).run()


if __name__ == "__main__":
    main()
