"""Who of several writes."""

from __future__ import annotations

import pathlib

import pytest

from cli import authority
from runtime import settings


def test_lease_is_where_the_settings_say(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "namespace"
    monkeypatch.setattr(authority, "_POD_NAMESPACE", own)
    assert authority.namespace(settings.Enrich(lease_namespace="there")) == "there"
    assert authority.namespace(settings.Enrich()) == "default"
    own.write_text("flowledger\n")
    assert authority.namespace(settings.Enrich()) == "flowledger"


def test_no_two_processes_have_one_name() -> None:
    assert authority.holder() != authority.holder()
