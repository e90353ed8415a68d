"""The commands about what has a name: list what there is, and check a network of one's own."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import Any

import click

from dominoes import arguments, registry
from dominoes.errors import SpecError

_INSTANCES = ("name", "dominoes", "title", "SHA-256 of rows")


@click.command("list")
@click.argument("kind", required=False, type=click.Choice([*registry.REGISTRIES, "instances"]))
@click.option("--json", "as_json", is_flag=True, help="Print the names as JSON.")
def list_(kind: str | None, as_json: bool) -> None:
    """Print what has a name: built in, or brought by an installed package; of one KIND or of all. `instances` are standard datasets."""
    import json

    from tabulate import tabulate

    if kind == "instances":
        from dominoes.data import instances

        found = instances.instances_table()
        text = tabulate([(each["name"], each["dominoes"], each["title"], each["rows"][:12]) for each in found], _INSTANCES)
        click.echo(json.dumps(found, indent=1) if as_json else text)
        return
    kinds = [kind] if kind else list(registry.REGISTRIES)
    rows = [
        {"kind": each, "name": entry.name, "origin": entry.origin, "distribution": entry.distribution, "version": entry.version}
        for each in kinds
        for entry in registry.entries(each)
    ]
    for row in rows:
        # Two that answer to one name are said here as they are where it is used.
        registry.find(str(row["kind"]), str(row["name"]))
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    click.echo(tabulate(rows, headers="keys", disable_numparse=True) if rows else f"no {kind} has a name; write module:attr for your own")


@click.command("check-model")
@click.argument("model")
@click.option("--model-args", multiple=True, metavar="NAME=VALUE", help="Argument of the network; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def check_model(model: str, model_args: tuple[str, ...], as_json: bool) -> None:
    """Try the network MODEL, such as nets:Wide: its answers, that runs of it repeat, that measuring changes nothing; exit 1 if not.

    It is trained for a few steps on pictures that come with the package.
    """
    import json
    from dataclasses import asdict

    from dominoes.training import model_check

    try:
        given: dict[str, Any] = arguments.read_arguments(list(model_args))
    except ValueError as error:
        raise SpecError(f"--model-args: {error}") from error
    code = registry.find("models", model).provenance()
    # What the network prints does not mix with what is said of it.
    with redirect_stdout(sys.stderr):
        found = model_check.check_model(model, given)
    pin = f"{code.ref}@sha256:{code.sha256}" if code and registry.is_reference(code.ref) else None
    if as_json:
        click.echo(json.dumps(asdict(found) | {"holds": found.holds, "pinned": pin}, indent=1))
    else:
        click.echo(f"{model}: {found.parameters:,} weights")
        for each in found.findings:
            click.echo(f"{'FAILS' if not each.holds else 'note ' if each.warns else 'ok   '} {each.what}: {each.found}")
        click.echo(f"      a step of 64 takes {1000 * found.step_seconds:.3g} ms, to measure a domino {1e6 * found.picture_seconds:.3g} µs")
        if pin:
            click.echo(f"      pinned, as files can name it without --trust: {pin}")
    if not found.holds:
        sys.exit(1)
