"""``flowledger``: the commands, their flags, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import signal
import sys
from collections.abc import Callable
from typing import Any

import click

from cli import ledger as ledgers
from cli import output
from model import columns, enums, errors
from runtime import logs, settings

_SETTINGS: tuple[tuple[str, str, Any], ...] = (
    ("--feed", "enrich.feed", click.Choice(["kubernetes", "store", "manifests", "none"])),
    ("--manifests", "enrich.manifests", click.Path()),
    ("--kubeconfig", "enrich.kubeconfig", click.Path()),
    ("--context", "enrich.context", str),
    ("--store", "store.url", str),
    ("--gateway-port", "gateway.port", click.IntRange(0, 65535)),
    ("--app-port", "app.port", click.IntRange(0, 65535)),
    ("--metrics-port", "metrics.port", click.IntRange(0, 65535)),
    ("--node", "collector.node", str),
    ("--netns", "collector.netns", click.Path()),
    ("--interval", "collector.interval_seconds", click.FloatRange(0.5, 3600)),
    ("--source", "collector.sources", str),
    ("--nflog-groups", "collector.nflog_groups", str),
    ("--nflog-grammars", "collector.nflog_grammars", str),
    ("--nflog-pattern", "collector.nflog_pattern", str),
    ("--zone", "collector.conntrack_zone", click.IntRange(-1, 65535)),
    ("--mark", "collector.conntrack_mark", str),
    ("--goldmane", "goldmane.address", str),
    ("--goldmane-secret", "goldmane.secret", str),
    ("--goldmane-ca-config-map", "goldmane.ca_config_map", str),
    ("--goldmane-cert", "goldmane.certificate", click.Path()),
    ("--goldmane-key", "goldmane.key", click.Path()),
    ("--goldmane-ca", "goldmane.ca", click.Path()),
    ("--goldmane-server-name", "goldmane.server_name", str),
)
"""Flags that stand for a setting; their help is the setting's own text."""


_FEED = ("--feed", "--manifests", "--kubeconfig", "--context")
_NODE = ("--node", "--netns", "--interval", "--source", "--nflog-groups", "--nflog-grammars",
         "--nflog-pattern", "--zone", "--mark")  # fmt: skip

_GOLDMANE = tuple(flag for flag, path, _ in _SETTINGS if path.startswith("goldmane."))


def _takes(*flags: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the flags of some settings, which it gets as ``given``."""
    about = {item.path: item.about for item in settings.load(environment={}).items}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for flag, path, kind in _SETTINGS:
            if flag in flags:
                name = "set_" + path.replace(".", "__")
                repeated = flag == "--source"
                command = click.option(flag, name, type=kind, help=about[path], multiple=repeated)(command)
        return click.option("--config", "file", type=click.Path(path_type=pathlib.Path), help="TOML file.")(
            command
        )

    return decorate


def _load(given: dict[str, Any]) -> settings.Loaded:
    flags = {key.removeprefix("set_").replace("__", ".", 1): value
             for key, value in given.items() if key.startswith("set_") and value != ()}  # fmt: skip
    return settings.load(given.get("file"), flags=flags)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="flowledger")
@click.option("-v", "--verbose", is_flag=True, help="Say more in the log.")
def cli(verbose: bool) -> None:
    """The ledger of a Kubernetes cluster's network: who talked to whom, and which rule decided it."""
    logs.set_up("DEBUG" if verbose else "INFO")


@cli.command()
@click.option(
    "--seconds", type=click.FloatRange(1, 86400), help="End by itself after so long, with a summary."
)
@click.option("--app/--no-app", "with_app", default=True, help="Whether to start the explorer.")
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table")
@click.option("--folder", type=click.Path(path_type=pathlib.Path),
              help="Work in this new folder and leave it: ledger, manifests, the lab's truth.")  # fmt: skip
@click.option(
    "--manifests", type=click.Path(path_type=pathlib.Path), help="Build another cluster than the shop."
)
@click.option(
    "--churn",
    type=click.FloatRange(0.1, 60),
    help="Instead of the shop: a pod that is replaced every so many seconds, its address reused.",
)
@_takes("--gateway-port", "--app-port", "--metrics-port")
def demo(
    seconds: float | None,
    with_app: bool,
    form: str,
    folder: pathlib.Path | None,
    manifests: pathlib.Path | None,
    churn: float | None,
    **given: Any,
) -> None:
    """Show all of it: an online shop on two nodes, with real packets, policies and denials.

    The lab is closed: it has no way to any other network. Nothing stays behind.
    """
    from cli import demo as demo_command

    wanted = demo_command.Wanted(seconds, with_app, form, folder, manifests, churn)
    sys.exit(demo_command.run(_load(given).settings, wanted))


@cli.command()
@click.option("--app/--no-app", "with_app", default=True, help="Whether to start the explorer.")
@_takes(*_FEED, "--store", "--gateway-port", "--app-port", "--metrics-port", *_NODE)
@click.option("--set-sysctls", "set_collector__set_sysctls", is_flag=True, default=None,
              help="Turn on the kernel's counting of bytes and times.")  # fmt: skip
def up(with_app: bool, **given: Any) -> None:
    """Run everything for one node: collector, embedded ledger, its HTTP interface, and the explorer."""
    from cli import up as up_command

    up_command.run(_load(given).settings, with_gateway=True, with_app=with_app)


@cli.command()
@_takes(*_FEED, "--store", "--metrics-port", *_NODE)
@click.option("--set-sysctls", "set_collector__set_sysctls", is_flag=True, default=None,
              help="Turn on the kernel's counting of bytes and times.")  # fmt: skip
@click.option("--check", is_flag=True, help="Say what each source can give here, and end.")
@click.option(
    "--once", is_flag=True, help="Print the kernel's table as it stands, and end; with one --source."
)
@click.option("-o", "--output", "form", type=click.Choice([*output.FORMATS, "arrow"]),
              help="Print flows instead of keeping a ledger.")  # fmt: skip
def collect(check: bool, once: bool, form: str | None, **given: Any) -> None:
    """Run this node's collector alone, into a ledger or to standard output."""
    from cli import collect as collect_command
    from cli import up as up_command

    loaded = _load(given).settings
    if check or once:
        if form == "arrow":
            raise errors.SetupError("arrow is a stream: leave out --check and --once")
        work = collect_command.check if check else collect_command.once
        work(loaded.collector, form or "table")
    else:
        into = collect_command.stream(form) if form else None
        up_command.run(loaded, with_gateway=False, with_app=False, into=into)


@cli.command()
@_takes("--store", "--metrics-port", "--kubeconfig", "--context", *_GOLDMANE)
def watch(**given: Any) -> None:
    """Watch the Kubernetes API, and write into the ledger who had which address when, for all collectors.

    With --goldmane it also records the flows that Calico's Goldmane has, where no node has a collector.
    Several may run: a Lease says which of them writes.
    """
    from cli import watch as watch_command

    watch_command.run(_load(given).settings)


@cli.command()
@click.argument("filter_text", metavar="[FILTER]", default="")
@click.option("--since", default="15m", show_default=True, help="How far back: 90s, 15m, 2h, 7d.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True)
@click.option("-f", "--follow", is_flag=True, help="Go on with new flows as they come.")
@click.option("-o", "--output", "form", type=click.Choice(output.FORMATS), default="table")
@click.option("--ledger", help="URL of the ledger.  [default: the gateway of `flowledger up`]")
@_takes()
def flows(
    filter_text: str, since: str, limit: int, follow: bool, form: str, ledger: str | None, **given: Any
) -> None:
    """Show flows, newest last.

    FILTER is an expression such as: verdict = denied and dst.namespace = shop and dst.port in (80, 443)
    """
    from cli import flows as flows_command

    url = ledger or ledgers.url(_load(given).settings.gateway)
    flows_command.run(url, filter_text, since=since, limit=limit, follow=follow, form=form)


@cli.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=pathlib.Path))
@click.option("--format", "form", default="auto", show_default=True,
              type=click.Choice(["auto", "goldmane", "calico-enterprise", "hubble", "netobserv"]),
              help="Who wrote them.")  # fmt: skip
@click.option("--node", "at", default="", metavar="NAME",
              help="Who observed it, where that is not said.  [default: the format's name]")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Read, and say what there is; write nothing.")
@click.option("--strict", is_flag=True, help="Import nothing if a line is bad.  [default: all that are good]")
@_takes("--store")
def import_(
    files: tuple[pathlib.Path, ...], form: str, at: str, dry_run: bool, strict: bool, **given: Any
) -> None:
    """Import flow logs that Calico, Calico Enterprise, Cilium's Hubble or NetObserv have written.

    FILE has lines of JSON, or one array, also as Elasticsearch or Loki give them; it may be compressed
    (gzip), and `-` is the standard input. The same file again adds nothing. The exit code is 2 where no line
    is good.
    """
    from cli import importing

    origin = None if form == "auto" else enums.Origin(form)
    wanted = importing.Wanted(files=files, form=origin, node=at, dry_run=dry_run, strict=strict)
    sys.exit(importing.run(_load(given).settings.store, wanted))


@cli.group()
def store() -> None:
    """The ledger itself: make it, bring it up to date, see what is in it."""


_STORE_FORM = click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table")


@store.command("init")
@_STORE_FORM
@_takes("--store")
def store_init(form: str, **given: Any) -> None:
    """Make the ledger's tables; where they are, nothing is changed."""
    from cli import store as store_command

    store_command.make(_load(given).settings.store, form)


@store.command("migrate")
@_STORE_FORM
@_takes("--store")
def store_migrate(form: str, **given: Any) -> None:
    """Bring the tables of an older Flowledger up to date, with their rows."""
    from cli import store as store_command

    store_command.migrate(_load(given).settings.store, form)


@store.command("mend")
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=pathlib.Path))
def store_mend(data: pathlib.Path) -> None:
    """Make a ClickHouse server that was killed take again what the kill kept out of its folder DATA.

    To be run before each start of a server without Keeper, by its unit's ExecStartPre.
    """
    from cli import store as store_command

    store_command.mend(data)


@store.command("status")
@click.option("--ledger", help="URL of the ledger.  [default: the gateway of `flowledger up`]")
@_STORE_FORM
@_takes()
def store_status(ledger: str | None, form: str, **given: Any) -> None:
    """Show what is in the ledger, how large and complete it is, what it will forget, what waits to get in."""
    from cli import store as store_command

    loaded = _load(given).settings
    store_command.show(ledger or ledgers.url(loaded.gateway), loaded.store, form)


@cli.group()
def policy() -> None:
    """What policies mean: for given connections, and why."""


@policy.command("eval")
@click.option("--cases", type=click.Path(path_type=pathlib.Path),
              help="Cases, one a line of JSON: id, manifests, queries.")  # fmt: skip
@click.option("--manifests", type=click.Path(path_type=pathlib.Path), help="Folder or file of manifests.")
@click.option("--queries", type=click.Path(path_type=pathlib.Path),
              help="Connections: lines of JSON in a .jsonl file, or a list in YAML.")  # fmt: skip
@click.option("-o", "--output", "form", type=click.Choice(["table", "json", "jsonl"]), default="table")
def policy_eval(
    cases: pathlib.Path | None, manifests: pathlib.Path | None, queries: pathlib.Path | None, form: str
) -> None:
    """Say of connections whether policies allow them: tests of policies, for CI.

    A query is {"src": {"pod": "shop/web"}, "dst": {"ip": "192.0.2.1"}, "protocol": "TCP", "port": 443}, and
    may say what it should be: "expect": "allow". The exit code is 1 where it is something else.
    """
    from cli import evaluation

    if cases and not manifests and not queries:
        sys.exit(evaluation.cases(cases, form))
    if cases or not manifests or not queries:
        raise errors.SetupError("say --cases FILE, or --manifests FOLDER and --queries FILE")
    sys.exit(evaluation.queried(manifests, queries, form))


@policy.command("explain")
@click.argument("src", default="")
@click.argument("dst", default="")
@click.argument("port", type=click.IntRange(0, 65535), default=0)
@click.option(
    "--flow", default="", help="Instead of SRC and DST: the id of a flow, as `flowledger flows` shows it."
)
@click.option("--since", default="7d", show_default=True, help="How far back that flow is looked for.")
@click.option("--protocol", default="TCP", show_default=True, help="TCP, UDP, SCTP, ICMP … or a number.")
@click.option("--icmp-type", type=click.IntRange(0, 255), help="Of ICMP and ICMPv6.  [default: a ping]")
@click.option("--family", type=click.Choice(["4", "6"]), help="IPv4 or IPv6.  [default: whichever both have]")
@click.option("--at", default="", help="As it was then: 2026-01-31T12:00:00Z.  [default: now]")
@click.option("--ledger", help="URL of the ledger.  [default: the gateway of `flowledger up`]")
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table")
@_takes("--manifests", "--kubeconfig", "--context")
def policy_explain(
    src: str, dst: str, port: int, flow: str, since: str, protocol: str, icmp_type: int | None,
    family: str | None, at: str,
    ledger: str | None, form: str, **given: Any,
) -> None:  # fmt: skip
    """Say why a connection from SRC to DST at PORT is allowed or denied, and what would admit it.

    With --flow it is a recorded one, as the policies were when it began.

    SRC and DST are namespace/pod, or an address. The policies are the ledger's, or those of a folder
    (--manifests) or of a cluster (--kubeconfig). The exit code is 1 where it is denied.
    """
    from cli import explaining, known, moments

    if bool(flow) == bool(src and dst):
        raise click.UsageError("name SRC and DST, or a flow with --flow")
    loaded = _load(given).settings
    url, moment = ledger or ledgers.url(loaded.gateway), explaining.moment(at)
    recorded = explaining.recorded(url, moments.since(since), flow) if flow else None
    query = recorded.query if recorded else explaining.query(src, dst, port, protocol, family, icmp_type)
    if recorded and not known.is_elsewhere(loaded.enrich):
        moment = moment or recorded.started
    of = known.wanted(loaded.enrich, url, moment)
    sys.exit(explaining.run(of, query, form, recorded.sentence if recorded else ""))


@policy.command("audit")
@click.option("--at", default="", help="As it was then: 2026-01-31T12:00:00Z.  [default: now]")
@click.option("--ledger", help="URL of the ledger.  [default: the gateway of `flowledger up`]")
@click.option("--since", default="30d", show_default=True,
              help="From when on connections tell what is used, where the ledger has them.")  # fmt: skip
@click.option("--fail-on", type=click.Choice(["high", "medium", "low", "never"]), default="high",
              show_default=True, help="From which severity on the exit code is 1.")  # fmt: skip
@click.option("-o", "--output", "form", type=click.Choice(["table", "json", "sarif"]), default="table")
@_takes("--manifests", "--kubeconfig", "--context")
def policy_audit(at: str, ledger: str | None, since: str, fail_on: str, form: str, **given: Any) -> None:
    """Look for what is wrong, superfluous or open in the policies, and for the change that mends it.

    The policies are the ledger's, or those of a folder (--manifests) or of a cluster (--kubeconfig).
    """
    from cli import auditing, drift, explaining, known, moments

    loaded = _load(given).settings
    url = ledger or ledgers.url(loaded.gateway)
    of = known.wanted(loaded.enrich, url, explaining.moment(at))
    span = moments.since(since)
    recorded = bool(of.since) and not at  # by the ledger that knows the policies
    met = auditing.use(url, of.since, span) if recorded else None
    more = drift.findings(of, url, span) if recorded else []
    sys.exit(auditing.run(of, form, fail_on, met, more))


@policy.command("suggest")
@click.argument("target", nargs=-1, metavar="[NAMESPACE | NAMESPACE/WORKLOAD]...")
@click.option("--since", default="14d", show_default=True,
              help="From when on to learn: 2h, 7d, 4w ago, or 2026-01-31T12:00:00Z.")  # fmt: skip
@click.option("--until", default="", help="Until when, in the same words.  [default: now]")
@click.option("--kind", type=click.Choice(["kubernetes", "calico", "staged"]), default="kubernetes",
              show_default=True, help="NetworkPolicy, Calico's, or Calico's staged one.")  # fmt: skip
@click.option("--tier", default="default", show_default=True, help="In which tier, of Calico's.")
@click.option("--direction", type=click.Choice(["ingress", "egress"]), help="One alone.  [default: both]")
@click.option("--admit", multiple=True, metavar="REASON",
              help="Allow too what would be left out as ambiguous, denied, one-off, gone, scan, closed, "
                   "unanswered, reply or inexpressible; may be repeated.")  # fmt: skip
@click.option("--widen", type=click.FloatRange(1, 65536), default=1, show_default=True,
              help="Addresses that a prefix may have for each that was seen.")  # fmt: skip
@click.option("--prefixes", type=click.IntRange(1, 10_000), default=64, show_default=True,
              help="Prefixes that a rule may list.")  # fmt: skip
@click.option("--everywhere", is_flag=True, help="Where there are more: allow all addresses there are.")
@click.option("--least", default="1h", show_default=True,
              help="How long pods have to be recorded to learn from them.")  # fmt: skip
@click.option("--complete", type=click.FloatRange(0, 1), default=0.9, show_default=True,
              help="The share of the span that has to be recorded.")  # fmt: skip
@click.option("--ledger", help="URL of the ledger.  [default: the gateway of `flowledger up`]")
@click.option("-o", "--output", "form", type=click.Choice(["yaml", "table", "json", "diff"]), default="yaml")
@_takes("--manifests", "--kubeconfig", "--context")
def policy_suggest(
    target: tuple[str, ...], since: str, until: str, kind: str, tier: str, direction: str | None,
    admit: tuple[str, ...], widen: float, prefixes: int, everywhere: bool, least: str, complete: float,
    ledger: str | None, form: str, **given: Any,
) -> None:  # fmt: skip
    """Suggest policies that allow what was recorded and nothing else, with the evidence and a proof.

    They go to standard output, to be applied as they are; what else there is to say goes to standard error.
    Without a namespace or workload they are for all. The exit code is 1 where nothing could be suggested, or
    where the policies would deny what they were made to allow.
    """
    from cli import known, moments, suggesting
    from policy import needs

    loaded = _load(given).settings
    url = ledger or ledgers.url(loaded.gateway)
    bounds = needs.Bounds(widening=widen, prefixes=prefixes, everywhere=everywhere)
    wanted = suggesting.wanted(kind, tier, direction, admit, bounds, least)
    asked = suggesting.Asked(
        targets=target, span=moments.since(since, until), wanted=wanted, complete=complete
    )
    sys.exit(suggesting.run(url, known.wanted(loaded.enrich, url), asked, form))


@policy.command("preview")
@click.argument("change", nargs=-1, type=click.Path(path_type=pathlib.Path))
@click.option("--delete", "deleted", multiple=True, metavar="KIND/NAMESPACE/NAME",
              help="A policy that goes, as in knp/shop/web or gnp/web; may be repeated.")  # fmt: skip
@click.option("--from", "old", type=click.Path(path_type=pathlib.Path),
              help="An older folder: what has changed from it to CHANGE, deletions included.")  # fmt: skip
@click.option("--git", "revision", default="", metavar="REVISION",
              help="The same against the folder as it was in a revision of its git repository.")  # fmt: skip
@click.option("--since", default="14d", show_default=True,
              help="From when on: 2h, 7d, 4w ago, or 2026-01-31T12:00:00Z.")  # fmt: skip
@click.option("--until", default="", help="Until when, in the same words.  [default: now]")
@click.option("--fail-on-denied", is_flag=True,
              help="Exit with 1 if anything would newly be denied.")  # fmt: skip
@click.option("--ledger", help="URL of the ledger.  [default: the gateway of `flowledger up`]")
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table")
@_takes("--manifests", "--kubeconfig", "--context")
def policy_preview(
    change: tuple[pathlib.Path, ...], deleted: tuple[str, ...], old: pathlib.Path | None, revision: str,
    since: str, until: str, fail_on_denied: bool, ledger: str | None, form: str, **given: Any,
) -> None:  # fmt: skip
    """Say what a change of policies would newly deny and allow, of all that is recorded.

    CHANGE are manifests that are added, or that take the place of what is there under the same name: of
    policies of any kind, and of the tiers, network sets and namespaces that they speak of. Staged policies
    among them are taken as enforced. The exit code is 2 where something is wrong or not there.
    """
    from cli import changing, known, moments, previewing

    loaded = _load(given).settings
    url = ledger or ledgers.url(loaded.gateway)
    wanted = changing.wanted(change, deleted, old, revision)
    of = known.wanted(loaded.enrich, url)
    sys.exit(
        previewing.run(url, of, wanted, moments.since(since, until), form, fail_on_denied=fail_on_denied)
    )


def _shown(item: settings.Item) -> settings.Item:
    """A setting without the password that may be in it."""
    from store import location

    if item.path != "store.url":
        return item
    return dataclasses.replace(item, value=location.shown(str(item.value)))


@cli.command()
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table")
@_takes(*(flag for flag, _, _ in _SETTINGS))
def config(form: str, **given: Any) -> None:
    """Show every setting, its value, and where the value came from."""
    items = [_shown(item) for item in _load(given).items]
    if form == "json":
        rows = [{"setting": i.path, "value": i.value, "origin": i.origin, "about": i.about} for i in items]
        click.echo(json.dumps(rows, indent=2))
        return
    for item in items:
        click.echo(f"{click.style(item.path, bold=True)} = {item.value!r}  ({item.origin})")
        click.echo(f"    {item.about}")


@cli.command()
@click.argument("name", type=click.Choice([
    "conntrack-dump", "conntrack-events", "nflog", "probe", "collector", "join", "enrich", "policy-eval",
    "suggest", "preview", "store-insert", "store-size", "store-query", "all",
]))  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--count", type=click.IntRange(1000, 1_000_000_000), help="How many connections, events, packets or rows."
)
@click.option("--rate", type=click.FloatRange(1, 10_000_000), help="How many a second.")
@click.option("--seconds", type=click.IntRange(20, 86400), default=60, show_default=True,
              help="How long the collector is watched.")  # fmt: skip
def bench(name: str, as_json: bool, count: int | None, rate: float | None, seconds: int) -> None:
    """Measure how fast a part is on this machine; those of the collector need root."""
    from cli.bench import benches, measure

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that whatever was made is removed
    measure.say(benches.run(name, count, rate, seconds), as_json=as_json)


@cli.command(hidden=True)
@click.argument("page", type=click.Choice(["flow-record", "filters", "settings"]), default="flow-record")
def reference(page: str) -> None:
    """Print a reference page of docs/reference."""
    from store import filters

    pages = {"flow-record": columns.reference, "filters": filters.reference, "settings": settings.reference}
    click.echo(pages[page](), nl=False)


def main() -> None:
    """Run a command; what a person can mend is one line and exit code 2."""
    try:
        cli.main(standalone_mode=False)
        sys.stdout.flush()
    except errors.FlowledgerError as error:
        output.fail(str(error))
        sys.exit(2)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:  # whoever read our output has seen enough; click says so with 1 as well
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at the end
        sys.exit(1)


if __name__ == "__main__":
    main()
