"""The demo: the whole way on pictures that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dominoes.cli import options
from dominoes.cli.train import runs
from dominoes.spec import DominoSpec, RunSpec, TrainSpec

if TYPE_CHECKING:
    from dominoes.data.dealing import Dealt


@click.command()
@options.out("Results folder.")
@click.option("--seeds", default="0-1", show_default=True, metavar="LIST", help="Seeds, one run each.")
def demo(out: Path, seeds: str) -> None:
    """The whole way on pictures that come with the package (digits over textures): solve, build, train, compare, report. Under a minute."""
    import pandas as pd

    from dominoes import files, tables
    from dominoes.data import dealing, folder
    from dominoes.reporting import results, stills
    from dominoes.reporting.charts import learning
    from dominoes.reporting.html import page
    from dominoes.runs import parameters, run_folders
    from dominoes.runs.engines.protocol import WorkerSetting
    from dominoes.theory import comparison
    from dominoes.theory.fits.table import fit_table

    spec = DominoSpec(prevalence=(0.65, 0.65), top="digits", bottom="textures")
    how = TrainSpec(epochs=8, batch=32, measurements=25, probe=340)
    dealt = dealing.deal_spec(spec)
    folder.save_dataset(dealt, out / "dataset", force=True)
    # The folder is the deal of seed 0; every seed is trained on its own.
    specs = [RunSpec(dataset=spec.model_copy(update={"seed": seed}), train=how, seed=seed) for seed in options.seeds(seeds)]
    outcomes = [outcome for outcome, _ in runs(specs, WorkerSetting(out, "cpu"))]
    table = pd.concat([outcome.curves for outcome in outcomes], ignore_index=True)
    tables.write_table(table, out / "curves.csv")
    fits = fit_table(table, families=("logistic", "logistic-log"), chance=1 / dealt.composition.stock.classes)
    files.write(out / results.FITS, tables.as_csv(fits))
    found = comparison.compare(
        parameters.read_runs(out), parameters.read_runs(out, form="classes"), joint=parameters.read_joint(run_folders.finished(out))
    )
    files.write(out / results.COMPARISON, tables.as_csv(found.table))
    shown = results.gather([out])
    stills.draw_chart(learning.one_sided_chart(shown), out / "curves.png")
    page.write_page(shown, out / "report.html")
    click.echo(_demo_text(dealt, table, out))
    click.echo(f"report    {out / 'report.html'}: all of it on one page, to open in a browser")
    click.echo(f"theory    {out / 'comparison.csv'}: {found.counted()} (all lines: dominoes compare {out} --all --out comparison.csv)")
    for line in found.headlines():
        click.echo(f"          {line}")


def _demo_text(dealt: Dealt, table: Any, out: Path) -> str:
    means = table[table["split"] == "test"].groupby(["kind", "step"])["accuracy"].mean()
    last = table["step"].max()
    kinds = ", ".join(f"{count} {kind}" for kind, count in dealt.composition.kinds.items())
    agree = table[(table["kind"] == "conflict") & (table["step"] == last)][["agree_top", "agree_bottom"]].mean()
    ends = ", ".join(f"{means[kind][last]:.2f} ({kind})" for kind in ("top", "bottom", "both"))
    lines = [
        f"dataset   {out / 'dataset'}: {dealt.composition.n} dominoes, digits over textures ({kinds})",
        f"curves    {out / 'curves.csv'}: {table['run'].nunique()} runs, {table['step'].nunique()} measurements up to step {last}",
        f"figure    {out / 'curves.png'}: loss and accuracy on one-sided dominoes",
        f"accuracy  on test dominoes at the end: {ends}",
        f"conflicts of two classes at the end: the networks answer the top's in {agree.iloc[0]:.0%} of the cases, the bottom's in "
        f"{agree.iloc[1]:.0%}",
    ]
    return "\n".join(lines)
