"""The ledger that this process shows."""

from __future__ import annotations

import os
import time

import streamlit as st

from app import launch
from store import transport


def url() -> str:
    """Where it is, from the environment."""
    return os.environ.get(launch.LEDGER, launch.DEFAULT_LEDGER)


def connect() -> transport.Transport:
    """The way to it, one for all who look.

    Raises:
        FlowledgerError: If there is no such way.
    """
    return _connection(url())


def now() -> int:
    """The time, in nanoseconds since 1970."""
    return time.time_ns()


@st.cache_resource(show_spinner=False)
def _connection(url: str) -> transport.Transport:
    return transport.open(url)
