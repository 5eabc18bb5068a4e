"""Settings: which value wins, where it came from, and which mistake is named how."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest

from model import errors
from runtime import settings

CONFIGS = sorted(pathlib.Path(__file__).with_name("configs").glob("*.toml"))


def _file(folder: pathlib.Path, text: str) -> pathlib.Path:
    file = folder / "flowledger.toml"
    file.write_text(text)
    return file


def _origins(loaded: settings.Loaded) -> dict[str, tuple[object, str]]:
    return {item.path: (item.value, item.origin) for item in loaded.items}


@pytest.mark.parametrize("config", CONFIGS, ids=lambda file: file.stem)
def test_file_means_what_stands_beside_it(config: pathlib.Path) -> None:
    """The expected file has each setting that is not the default."""
    loaded = settings.load(config, environment={})
    changed = {item.path: item.value for item in loaded.items if item.origin != "default"}
    assert json.loads(json.dumps(changed)) == json.loads(config.with_suffix(".json").read_text())
    assert {item.origin for item in loaded.items} <= {"default", str(config)}


def test_the_last_one_wins(tmp_path: pathlib.Path) -> None:
    file = _file(
        tmp_path, "[gateway]\nport = 1\nhost = '::1'\n[store]\nretention_days = 1\n[app]\nport = 1\n"
    )
    environment = {"FLOWLEDGER_GATEWAY__PORT": "2", "FLOWLEDGER_APP__PORT": "2", "PATH": "/bin"}
    found = _origins(settings.load(file, environment, {"gateway.port": 3, "gateway.host": None}))
    assert found["gateway.port"] == (3, "flag")
    assert found["app.port"] == (2, "FLOWLEDGER_APP__PORT")
    assert found["store.retention_days"] == (1, str(file))
    assert found["gateway.host"] == ("::1", str(file))
    assert found["metrics.port"] == (9478, "default")


def test_items_are_the_settings() -> None:
    loaded = settings.load(environment={"FLOWLEDGER_COLLECTOR__NODE": "n"})
    whole = dataclasses.asdict(loaded.settings)
    assert {item.path: item.value for item in loaded.items} == {
        f"{section}.{name}": value for section, values in whole.items() for name, value in values.items()
    }
    assert loaded.settings.collector.node == "n"


@pytest.mark.parametrize("item", settings.load(environment={}).items, ids=lambda item: item.path)
def test_every_setting_has_a_text_below_it(item: settings.Item) -> None:
    assert item.about
    assert item.about[0].isupper() or item.about.startswith(("``", "/"))
    assert item.about.endswith(".")
    assert "\n" not in item.about


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        pytest.param("collector.node", "a,b", "a,b", id="text"),
        pytest.param("collector.node", "", "", id="empty text"),
        pytest.param("collector.interval_seconds", "0.5", 0.5, id="number"),
        pytest.param("collector.interval_seconds", "3", 3.0, id="whole number for a number"),
        pytest.param("gateway.port", "80", 80, id="whole number"),
        pytest.param("collector.nflog_groups", "1,2", (1, 2), id="list"),
        pytest.param("collector.nflog_groups", " 100 ", (100,), id="list of one"),
        pytest.param("collector.nflog_groups", "", (), id="empty list"),
        *(pytest.param("collector.set_sysctls", word, True, id=word) for word in ("true", "1", "Yes")),
        *(pytest.param("collector.set_sysctls", word, False, id=word) for word in ("false", "0", "NO")),
    ],
)
def test_variable_is_read_as_its_field_wants_it(path: str, text: str, value: object) -> None:
    name = settings.PREFIX + path.upper().replace(".", "__")
    assert _origins(settings.load(environment={name: text}))[path] == (value, name)


@pytest.mark.parametrize(
    "name", ["FLOWLEDGER_APP_LEDGER", "FLOWLEDGER_", "XFLOWLEDGER_APP__PORT", "flowledger_app__port"]
)
def test_other_variables_are_not_ours(name: str) -> None:
    assert settings.load(environment={name: "x"}) == settings.load(environment={})


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        pytest.param("GATEWAY__PORT", "http", "gateway.port must be a whole number, is 'http'", id="number"),
        pytest.param("GATEWAY__PORT", "1.5", "gateway.port must be a whole number, is '1.5'", id="fraction"),
        pytest.param(
            "COLLECTOR__SET_SYSCTLS",
            "maybe",
            "collector.set_sysctls must be true or false, is 'maybe'",
            id="truth",
        ),
        pytest.param(
            "COLLECTOR__NFLOG_GROUPS",
            "1,x",
            "collector.nflog_groups must be a list of whole numbers, is '1,x'",
            id="list",
        ),
        pytest.param(
            "COLLECTOR__INTERVAL_SECONDS",
            "0",
            "collector.interval_seconds must be from 0.5 to 3600, is 0",
            id="too small",
        ),
        pytest.param(
            "COLLECTOR__INTERVAL_SECONDS",
            "inf",
            "collector.interval_seconds must be a number, is 'inf'",
            id="no end",
        ),
        pytest.param(
            "GATEWAY__PORT", "65536", "gateway.port must be from 0 to 65535, is 65536", id="too large"
        ),
        pytest.param(
            "COLLECTOR__INTERVAL",
            "1",
            "there is no setting collector.interval; `flowledger config` lists them",
            id="unknown",
        ),
        pytest.param(
            "COLLECTORS__NODE",
            "1",
            "there is no setting collectors.node; `flowledger config` lists them",
            id="unknown section",
        ),
    ],
)
def test_wrong_variable_is_named(name: str, text: str, said: str) -> None:
    with pytest.raises(errors.SetupError) as caught:
        settings.load(environment={f"FLOWLEDGER_{name}": text})
    assert str(caught.value) == f"FLOWLEDGER_{name}: {said}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("[gateway]\nport = 'x'", ": gateway.port must be a whole number, is 'x'", id="type"),
        pytest.param("[gateway]\nport = 1.5", ": gateway.port must be a whole number, is 1.5", id="fraction"),
        pytest.param("[gateway]\nport = true", ": gateway.port must be a whole number, is True", id="truth"),
        pytest.param("[gateway]\nhost = 7", ": gateway.host must be text, is 7", id="text"),
        pytest.param(
            "[collector]\ninterval_seconds = true",
            ": collector.interval_seconds must be a number, is True",
            id="number",
        ),
        pytest.param(
            "[collector]\nnflog_groups = 1",
            ": collector.nflog_groups must be a list of whole numbers, is 1",
            id="list",
        ),
        pytest.param(
            "[collector]\nnflog_groups = [1.5]",
            ": collector.nflog_groups must be a list of whole numbers, is [1.5]",
            id="list of fractions",
        ),
        pytest.param(
            "[collector]\nsources = [1]",
            ": collector.sources must be a list of words, is [1]",
            id="list of numbers",
        ),
        pytest.param(
            "[gateway]\nprot = 1",
            ": there is no setting gateway.prot; `flowledger config` lists them",
            id="unknown",
        ),
        pytest.param(
            "[gate]\nport = 1",
            ": there is no setting gate.port; `flowledger config` lists them",
            id="unknown section",
        ),
        pytest.param("port = 1", ": settings belong into a section, such as [collector]", id="no section"),
        pytest.param("[gateway", " is not TOML: ", id="not TOML"),
        pytest.param("[gateway]\nport = 1\nport = 2", " is not TOML: ", id="twice"),
    ],
)
def test_mistake_in_a_file_is_named(tmp_path: pathlib.Path, text: str, said: str) -> None:
    file = _file(tmp_path, text)
    with pytest.raises(errors.SetupError) as caught:
        settings.load(file, environment={})
    assert str(caught.value).startswith(f"{file}{said}")


def test_bytes_that_are_no_text_are_named(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(b"[gateway]\nhost = '\xff'")
    with pytest.raises(errors.SetupError, match="is not TOML"):
        settings.load(file, environment={})


@pytest.mark.parametrize(("name", "said"), [("gone", "No such file"), ("", "Is a directory")])
def test_file_that_cannot_be_read_is_named(tmp_path: pathlib.Path, name: str, said: str) -> None:
    with pytest.raises(errors.SetupError, match=f"cannot read settings from {tmp_path / name}: {said}"):
        settings.load(tmp_path / name, environment={})


def test_wrong_flag_is_named() -> None:
    with pytest.raises(
        errors.SetupError, match=r"flag: collector\.nflog_groups must be a list of whole numbers"
    ):
        settings.load(environment={}, flags={"collector.nflog_groups": "a"})
