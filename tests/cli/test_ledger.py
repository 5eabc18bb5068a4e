from __future__ import annotations

import pytest

from cli import ledger
from runtime import settings


@pytest.mark.parametrize(
    ("configured", "url"),
    [
        pytest.param(settings.Gateway(), "http://127.0.0.1:8123", id="default"),
        pytest.param(settings.Gateway(host="0.0.0.0", port=1), "http://127.0.0.1:1", id="all addresses"),
        pytest.param(settings.Gateway(host="::"), "http://[::1]:8123", id="all of IPv6"),
        pytest.param(
            settings.Gateway(token_file="/run/a b"),
            "http://127.0.0.1:8123/?password_file=%2Frun%2Fa+b",
            id="file",
        ),
        pytest.param(settings.Gateway(token_env="T"), "http://127.0.0.1:8123/?password_env=T", id="variable"),
    ],
)
def test_gateway_has_a_url(configured: settings.Gateway, url: str) -> None:
    assert ledger.url(configured) == url
