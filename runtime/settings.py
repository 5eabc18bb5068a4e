"""Settings: defaults, then a TOML file, then ``FLOWLEDGER_*`` variables, then flags; the last one wins.

Each field has its unit and its reason in the text below it; ``flowledger config`` prints them.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import math
import os
import pathlib
import socket
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping

from model import errors

PREFIX = "FLOWLEDGER_"
_LARGEST = 2**31 - 1


def _within(default: float, least: float, most: float) -> typing.Any:
    """A number with its bounds."""
    return dataclasses.field(default=default, metadata={"least": least, "most": most})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """What one node's collector reads, and how often."""

    node: str = dataclasses.field(default_factory=socket.gethostname)
    """Name of the node in the ledger: the Kubernetes node name, so that its pods are known as local."""
    netns: str = ""
    """Path of the network namespace to watch; empty for the one that we run in."""
    interval_seconds: float = _within(10.0, 0.5, 3600.0)
    """How often living connections are reported: shorter is fresher and makes more rows."""
    sources: tuple[str, ...] = ("conntrack", "nflog", "felix", "counters")
    """What to read: conntrack, nflog, felix, counters, probe. `collect --check` says what each gives here."""
    conntrack_zone: int = _within(-1, -1, 65535)
    """Only connections of this conntrack zone; -1 for all."""
    conntrack_mark: str = ""
    """Only connections with this mark, as value or value/mask (0x10/0xff); empty for all."""
    bpf_folder: str = "/sys/fs/bpf/tc/globals"
    """Where Calico's eBPF dataplane pins its maps: where conntrack maps are there, they are read as part of
    conntrack. They belong to the node, not to a network namespace. Empty to leave them alone."""
    nflog_groups: tuple[int, ...] = (1, 2)
    """NFLOG groups that policy rules log to. 1 and 2 are Calico's; K3s and kube-router use 100. Empty: none.
    Where Felix runs, 1 and 2 are left to it, even if they are free."""
    nflog_grammars: tuple[str, ...] = ("calico",)
    """How the prefixes of logged packets are read, in this order: calico, kube-router."""
    nflog_pattern: str = ""
    """A regular expression for prefixes of your own, with groups named action, direction, namespace, policy
    and rule; it is asked before the grammars."""
    felix_socket: str = "/var/run/calico/flows/flows.sock"
    """Where Felix looks for somebody to tell its flows. It is made where the folder above its own is there,
    as on each node of Calico."""
    set_sysctls: bool = False
    """Turn on nf_conntrack_acct and nf_conntrack_timestamp, without which bytes and times are not counted."""
    receive_buffer_bytes: int = _within(8 << 20, 4096, _LARGEST)
    """How much the kernel may queue for each of our sockets before it has to lose something."""
    hold: int = _within(500_000, 1000, _LARGEST)
    """How many events of each source we hold before we discard and count; an interval ends early at half."""
    probe_edges: int = _within(65_536, 16, 1 << 24)
    """How many edges of each address family the probe can count at once; what does not fit is counted."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Enrich:
    """Who an address was."""

    feed: str = ""
    """Who knows the cluster: ``kubernetes``, its API server; ``store``, the ledger, into which ``flowledger
    watch`` has written it; ``manifests``, a folder; or ``none``. Empty for ``manifests`` where a folder is
    named, in a pod for ``kubernetes`` (``up``) or ``store`` (``collect``), and else for ``none``."""
    manifests: str = ""
    """Folder of manifests that names pods, services, nodes and policies; it is read again when it changes."""
    kubeconfig: str = ""
    """How to reach the API server; empty for the service account of the pod that this is, else for what
    KUBECONFIG names, or ~/.kube/config."""
    context: str = ""
    """Which of the kubeconfig's contexts; empty for its current one."""
    clock_tolerance_seconds: float = _within(0.5, 0.0, 60.0)
    """How far clocks in the cluster may be apart: for so long around a pod's beginning and end its name is
    not sure, and an address that another pod had as well is ambiguous."""
    remember_hours: float = _within(24.0, 0.1, 8760.0)
    """For how long pods, services and policies that are gone can still name flows that began before."""
    poll_seconds: float = _within(5.0, 0.5, 3600.0)
    """How often the ledger is asked for what is new, by who takes names from it."""
    correct_hours: float = _within(6.0, 0.0, 8760.0)
    """How far back late news give flows in the ledger other names; 0 for not at all."""
    lease: str = "flowledger-watch"
    """Name of the Lease that says which of several ``flowledger watch`` writes."""
    lease_namespace: str = ""
    """Its namespace; empty for that of the pod that this is, else for ``default``."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where the ledger is."""

    url: str = "chdb:///var/lib/flowledger"
    """Where the ledger is: ``chdb:///folder`` for the embedded engine, ``clickhouse://host:9000/database`` or
    ``http://host:8123`` for a server or a cluster of them."""
    retention_days: int = _within(90, 0, 36_500)
    """How long a ledger that is made now keeps its flows, and their minutes; 0 keeps them for ever. Hours
    and days are kept 310 days longer."""
    retention_bytes: int = _within(0, 0, 1 << 60)
    """How large the ledger may get: beyond that the oldest days are dropped, and counted; 0 for no bound.
    Where many processes write to one server, it is for one of them to keep it; on a cluster nobody does."""
    spool: str = ""
    """Folder for rows on their way to the ledger, of one process; empty for ``spool`` inside the embedded
    ledger's folder, and for /var/lib/flowledger/spool where the ledger is a server."""
    spool_bytes: int = _within(1 << 30, 1 << 20, 1 << 50)
    """How large the spool may get while the ledger is away; beyond that the oldest rows are discarded and
    counted."""
    batch_rows: int = _within(200_000, 1, 1_000_000)
    """How many rows are offered to the ledger at once, at most."""
    batch_seconds: float = _within(5.0, 0.1, 3600.0)
    """How long rows are collected before they are offered; they are on the disk all that time."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """ClickHouse's HTTP interface, read-only, in front of the embedded store."""

    host: str = "127.0.0.1"
    """Address to listen at. Whoever reaches it can read the whole ledger, so that other addresses than
    loopback need a token."""
    port: int = _within(8123, 0, 65535)
    """Port to listen at; ClickHouse's own by default."""
    token_file: str = ""
    """File with the token that clients have to show, as a password or as a bearer; empty for none."""
    token_env: str = ""
    """Name of the environment variable that has it, instead of a file."""
    statements: int = _within(4, 1, 64)
    """How many statements may run at once; others wait 10 s for their turn."""
    statement_seconds: int = _within(60, 1, 86_400)
    """How long a statement may run; its client can choose less."""
    statement_bytes: int = _within(2 << 30, 1 << 20, 1 << 50)
    """How much memory a statement may use; its client can choose less."""
    answer_rows: int = _within(10_000_000, 1, 1 << 40)
    """How many rows an answer may have; its client can choose less."""
    answer_bytes: int = _within(512 << 20, 1 << 10, 1 << 40)
    """How large an answer may be before it is compressed; it is held in memory."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """The explorer."""

    host: str = "127.0.0.1"
    """Address to listen at."""
    port: int = _within(8501, 0, 65535)
    """Port to listen at; Streamlit's own by default."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Prometheus metrics and health."""

    host: str = "127.0.0.1"
    """Address to listen at."""
    port: int = _within(9478, 0, 65535)
    """Port of /metrics, /healthz and /readyz; 0 for none."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Goldmane:
    """Calico's Goldmane, whose flows ``flowledger watch`` records while it leads."""

    address: str = ""
    """Where Goldmane is, as ``goldmane.calico-system.svc:7443``; empty to leave it alone."""
    certificate: str = ""
    """File with the certificate that Goldmane is shown, signed by Calico's operator; read at each connect."""
    key: str = ""
    """File with its private key."""
    ca: str = ""
    """File with the authorities that may have signed Goldmane's own certificate."""
    secret: str = ""
    """Instead of files: a secret, as NAMESPACE/NAME, with tls.crt, tls.key and perhaps ca.crt. It is read
    through the API server at each connect, and kept in memory."""
    ca_config_map: str = "calico-system/goldmane-ca-bundle"
    """ConfigMap with the authorities, as NAMESPACE/NAME, where the secret has no ca.crt and no file is
    named."""
    server_name: str = "goldmane.calico-system.svc"
    """The name that Goldmane's certificate has to be for, whatever the address is."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, by component."""

    collector: Collector = dataclasses.field(default_factory=Collector)
    enrich: Enrich = dataclasses.field(default_factory=Enrich)
    store: Store = dataclasses.field(default_factory=Store)
    gateway: Gateway = dataclasses.field(default_factory=Gateway)
    app: App = dataclasses.field(default_factory=App)
    metrics: Metrics = dataclasses.field(default_factory=Metrics)
    goldmane: Goldmane = dataclasses.field(default_factory=Goldmane)


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """One setting as it is in force."""

    path: str
    value: object
    origin: str
    about: str


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where each value came from."""

    settings: Settings
    items: tuple[Item, ...]


def load(
    file: pathlib.Path | None = None,
    environment: Mapping[str, str] = os.environ,
    flags: Mapping[str, object] | None = None,
) -> Loaded:
    """All settings.

    Args:
        file: A TOML file; None for none.
        environment: Where ``FLOWLEDGER_<SECTION>__<NAME>`` is looked up.
        flags: Path such as ``collector.node`` → value; None values were not given.

    Raises:
        SetupError: If a setting is unknown or has the wrong form; it names the setting and its origin.
    """
    given: dict[str, tuple[str, object]] = {}
    given |= {path: (str(file), value) for path, value in _from_file(file)}
    given |= {path: (name, value) for path, name, value in _from_environment(environment)}
    given |= {path: ("flag", value) for path, value in (flags or {}).items() if value is not None}
    sections, items = {}, []
    for section in dataclasses.fields(Settings):
        kind = _type_of(Settings, section.name)
        values = {}
        for field in dataclasses.fields(kind):
            path = f"{section.name}.{field.name}"
            origin, raw = given.pop(path, ("default", None))
            if origin != "default":
                values[field.name] = _convert(path, origin, raw, _type_of(kind, field.name))
                _check(path, origin, values[field.name], field.metadata)
            items.append((path, origin, section.name, field.name, _abouts(kind)[field.name]))
        sections[section.name] = kind(**values)
    for path, (origin, _) in given.items():
        raise errors.SetupError(f"{origin}: there is no setting {path}; `flowledger config` lists them")
    settings = Settings(**sections)
    return Loaded(settings, tuple(
        Item(path, getattr(getattr(settings, section), name), origin, about)
        for path, origin, section, name, about in items
    ))  # fmt: skip


def reference() -> str:
    """The reference page of all settings, as Markdown."""
    lines = [
        "# Settings",
        "",
        "Defaults, then the TOML file given with `--config`, then variables, then flags; the last one wins.",
        "`flowledger config` shows what is in force and where it came from.",
        "Generated from `runtime/settings.py`; `flowledger reference settings` writes it.",
        "",
        "| setting | variable | default | meaning |",
        "|---|---|---|---|",
    ]
    for item in load(environment={}).items:
        variable = PREFIX + item.path.upper().replace(".", "__")
        value = "the host's name" if item.path == "collector.node" else f"`{item.value!r}`"
        lines.append(f"| `{item.path}` | `{variable}` | {value} | {item.about} |")
    return "\n".join(lines) + "\n"


def _from_file(file: pathlib.Path | None) -> Iterator[tuple[str, object]]:
    if file is None:
        return
    try:
        content = tomllib.loads(file.read_text())
    except OSError as error:
        raise errors.SetupError(f"cannot read settings from {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise errors.SetupError(f"{file} is not TOML: {error}") from error
    for section, values in content.items():
        if not isinstance(values, dict):
            raise errors.SetupError(f"{file}: settings belong into a section, such as [collector]")
        for name, value in values.items():
            yield f"{section}.{name}", value


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name, value in environment.items():
        if name.startswith(PREFIX) and "__" in name:
            yield name.removeprefix(PREFIX).lower().replace("__", ".", 1), name, value


def _convert(path: str, origin: str, raw: object, wanted: typing.Any) -> object:
    """A value in the type of its field; text, as a variable has it, is read as such a value is written."""
    try:
        if wanted is bool:
            return raw if isinstance(raw, bool) else _truth[str(raw).lower()]
        if typing.get_origin(wanted) is tuple:
            parts = [p.strip() for p in raw.split(",") if p.strip()] if isinstance(raw, str) else _many(raw)
            return tuple(_member(part, typing.get_args(wanted)[0]) for part in parts)
        if wanted in (int, float):
            if isinstance(raw, bool) or (wanted is int and isinstance(raw, float)):
                raise TypeError
            number = typing.cast("type[int]", wanted)(raw)  # type: ignore[call-overload]
            if not math.isfinite(number):
                raise ValueError
            return number
        if not isinstance(raw, str):
            raise TypeError
    except (ValueError, TypeError, KeyError):
        word = {bool: "true or false", int: "a whole number", float: "a number", str: "text",
                tuple[int, ...]: "a list of whole numbers", tuple[str, ...]: "a list of words"}  # fmt: skip
        raise errors.SetupError(f"{origin}: {path} must be {word[wanted]}, is {raw!r}") from None
    return raw


def _check(path: str, origin: str, value: typing.Any, bounds: Mapping[str, typing.Any]) -> None:
    if bounds and not bounds["least"] <= value <= bounds["most"]:
        raise errors.SetupError(
            f"{origin}: {path} must be from {bounds['least']:g} to {bounds['most']:g}, is {value:g}"
        )


_truth = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _member(raw: object, wanted: type) -> object:
    """One element of a list; text as a variable has it, and a TOML list's own elements."""
    if wanted is int:
        return int(str(raw))
    if not isinstance(raw, str):
        raise TypeError
    return raw


def _many(raw: object) -> list[object]:
    if not isinstance(raw, list | tuple):
        raise TypeError
    return list(raw)


@functools.cache
def _hints(kind: type) -> dict[str, typing.Any]:
    return typing.get_type_hints(kind)


def _type_of(kind: type, field: str) -> typing.Any:
    return _hints(kind)[field]


@functools.cache
def _abouts(kind: type) -> types.MappingProxyType[str, str]:
    """Field → the text below it in the source."""
    body = ast.parse(inspect.cleandoc(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)  # noqa: S101  # getsource of a class gives a class
    found, last = {}, ""
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            last = node.target.id
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and last:
            found[last] = " ".join(str(node.value.value).split())
    return types.MappingProxyType(found)
