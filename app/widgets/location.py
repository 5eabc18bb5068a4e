"""Widgets whose values stand in the page's address, so that a link says all.

Streamlit's own binding takes what one page has bound out of the address when the next page opens; the way
back would then lead to a page without its filter.
"""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st


def follow(name: str, default: str, options: Collection[str] = ()) -> None:
    """Before the widget with key ``name`` is drawn: make it say what the address says, where that is news.

    Args:
        name: Key of the widget, and name of the parameter.
        default: What an address without it means.
        options: What the widget can say, if not everything.
    """
    said = st.query_params.get(name, default)
    if options and said not in options:
        said = default
    if name not in st.session_state or st.session_state.get(_followed(name)) != said:
        st.session_state[name] = st.session_state[_followed(name)] = said
    else:
        # What a widget of the page before said is not what this page's says, until it is written again.
        st.session_state[name] = st.session_state[name]


def write(name: str, default: str) -> None:
    """After the widget has changed: make the address say what it says."""
    value = st.session_state[name] or default
    st.session_state[_followed(name)] = value
    if value != default:
        st.query_params[name] = value
    elif name in st.query_params:
        del st.query_params[name]


def _followed(name: str) -> str:
    return f"{name}-in-address"
