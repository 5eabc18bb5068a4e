"""The filter and what edits it by clicks."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.widgets import expression, location, palette, timerange, words

TEXT = "q"
"""Name of the expression in the address and in the session."""

_VERDICTS = "verdicts"
_NAMESPACE = "namespace"
_ANY = "any namespace"


def show(namespaces: Sequence[str]) -> tuple[str, str]:
    """Draw it; the expression and the time range."""
    location.follow(TEXT, "")
    with st.container(horizontal=True, vertical_alignment="center"):
        text = st.text_input(
            "Filter", key=TEXT, icon=":material/filter_alt:", label_visibility="collapsed",
            placeholder="verdict = denied and dst.namespace = shop and dst.port in (80, 443)",
            on_change=location.write, args=(TEXT, ""),
        )  # fmt: skip
        chosen = timerange.show()
    _quick(text, namespaces)
    return text.strip(), chosen


def _quick(text: str, namespaces: Sequence[str]) -> None:
    """The buttons show what the expression says, so that the two can never disagree."""
    named = expression.namespace(text)
    st.session_state[_VERDICTS] = expression.verdicts(text)
    st.session_state[_NAMESPACE] = named or _ANY
    with st.container(horizontal=True, vertical_alignment="center"):
        st.pills(
            "Verdict", list(palette.BY_VERDICT), selection_mode="multi", key=_VERDICTS,
            on_change=_choose_verdicts, label_visibility="collapsed", format_func=words.title,
        )  # fmt: skip
        st.selectbox(
            "Namespace", [_ANY, *sorted({*namespaces, named} - {""})], key=_NAMESPACE,
            on_change=_choose_namespace, label_visibility="collapsed", width=220,
        )  # fmt: skip
        if text:
            st.button(
                "Clear", icon=":material/close:", type="tertiary", key="clear", on_click=_edit, args=("",)
            )


def _choose_verdicts() -> None:
    _edit(expression.with_verdicts(st.session_state[TEXT], st.session_state[_VERDICTS]))


def _choose_namespace() -> None:
    chosen = st.session_state[_NAMESPACE]
    _edit(expression.with_namespace(st.session_state[TEXT], "" if chosen == _ANY else chosen))


def _edit(text: str) -> None:
    st.session_state[TEXT] = text
    location.write(TEXT, "")
