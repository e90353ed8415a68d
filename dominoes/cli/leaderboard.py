"""The commands of the leaderboard: which theory predicts what a network learns?"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dominoes.cli import options, output
from dominoes.errors import LeaderboardError, counted

if TYPE_CHECKING:
    from dominoes.leaderboard.entry import Entry

_TASKS = ("doubles", "conflicts", "neighbours", "beyond", "transfer", "competition", "ahead")
_tasks = click.option("--task", "chosen", multiple=True, type=click.Choice(_TASKS), help="Only this task; repeatable.  [default: all]")
_edition = click.option(
    "--edition",
    "name",
    metavar="NAME|DIR",
    help="Frozen curves: of the package, or a folder.  [default: the newest of the package]",
)
_seed = click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of the bootstrap.")


_json = click.option("--json", "as_json", is_flag=True, help="Print the board as JSON.")


@click.group()
def leaderboard() -> None:
    """Which theory predicts what a network learns: tasks on frozen curves, forecasts, scores.

    Skill is 0 for copying the nearest spec and 1 for what other seeds and deals of the same spec predict.
    """


def _files_of_edition(name: str | None) -> list[Path]:
    """What is read of an edition, where it is a folder."""
    from dominoes.leaderboard import edition

    return [Path(name) / file for file in (edition.CURVES, edition.RUNS, edition.MANIFEST)] if name else []


@leaderboard.command()
@click.option(
    "--theory", "names", multiple=True, metavar="NAME|module:attr", help="Only this theory; repeatable.  [default: all that are built in]"
)
@_tasks
@_edition
@_seed
@click.option("--forecasts", type=options.PATH, help="Keep the forecasts of all theories there (.parquet), for 'show --curves'.")
@options.out("Board to write (.csv, .parquet or .json).")
@_json
def run(
    names: tuple[str, ...], chosen: tuple[str, ...], name: str | None, seed: int, forecasts: Path | None, out: Path, as_json: bool
) -> None:
    """Ask theories about an edition and score them."""
    from tqdm import tqdm

    from dominoes.leaderboard import board, collecting
    from dominoes.leaderboard.theories import catalogue

    output.check_places({"--out": out, "--forecasts": forecasts}, _files_of_edition(name))
    theories = [catalogue.find_theory(each) for each in dict.fromkeys(names or catalogue.THEORIES)]
    edition = collecting.find_edition(name)
    with tqdm(total=len(theories) + 1, unit="theory", disable=None, file=sys.stderr) as bar:

        def watch(name: str) -> None:
            bar.set_postfix_str(name)
            bar.update(1)

        # What theories print is no part of the board.
        with contextlib.redirect_stdout(sys.stderr):
            found = board.score_theories(
                {each.name: each.make for each in theories}, edition, chosen or _TASKS,
                provenance={each.name: each.provenance for each in theories}, seed=seed, watch=watch,
            )  # fmt: skip
    board.write_board(found.table, out)
    if forecasts is not None:
        board.write_forecasts(found, forecasts)
    click.echo(board.as_json(found.table) if as_json else board.shown(found.table))


@leaderboard.command()
@click.argument("path", metavar="BOARD", type=options.PATH)
@click.option("--plot", type=options.PATH, help="Heat map of skill by theory and task to write (.png, .svg, .pdf).")
@click.option("--curves", type=options.PATH, help="Folder for a figure of measured against forecast curves for each task.")
@click.option("--forecasts", type=options.PATH, help="With --curves: the forecasts that 'run --forecasts' kept.")
@_edition
@_json
def show(path: Path, plot: Path | None, curves: Path | None, forecasts: Path | None, name: str | None, as_json: bool) -> None:
    """Print a board as a table, and draw it."""
    from dominoes.leaderboard import board, collecting

    output.check_places({"--plot": plot}, (path, forecasts))
    table = board.read_board(path)
    if (curves is None) != (forecasts is None):
        raise LeaderboardError("--curves draws what --forecasts holds; pass both, or neither")
    click.echo(board.as_json(table) if as_json else board.shown(table))
    if plot is not None:
        from dominoes.leaderboard import figure

        figure.heat_map(table, plot)
        click.echo(str(plot), err=as_json)
    if curves is not None and forecasts is not None:
        from dominoes.leaderboard import figure

        answers = board.read_forecasts(forecasts)
        edition = collecting.find_edition(name)
        for task in _TASKS:
            if any((each["task"] == task).any() for each in answers.values()):
                figure.forecasts(edition, answers, task, curves / f"{task}.png")
                click.echo(str(curves / f"{task}.png"), err=as_json)


@leaderboard.command()
@click.argument("results", nargs=-1, required=True, type=options.RESULTS)
@click.option("--name", help="Name of the edition.  [default: that of its folder]")
@click.option("--held-out", multiple=True, metavar="STUDY", help="A study that nothing is fitted to (task transfer); repeatable.")
@click.option(
    "--classes", type=click.IntRange(min=2), help="K.  [default: that of the runs, or of the classes.csv beside a table; else 10]"
)
@options.out("Folder of the edition.")
@options.force
def edition(results: tuple[Path, ...], name: str | None, held_out: tuple[str, ...], classes: int | None, out: Path, force: bool) -> None:
    """Freeze the curves of RESULTS (results folders, or exported tables; one study each) as an edition."""
    from dominoes.leaderboard import collecting
    from dominoes.leaderboard import edition as editions

    names = [collecting.study_name(path) for path in results]
    if len(set(names)) < len(names):
        raise LeaderboardError(f"two of the studies are called alike ({', '.join(names)}); a study is called like its folder, rename one")
    made = editions.make_edition(
        {study: collecting.study_curves(path) for study, path in zip(names, results, strict=True)},
        name or out.resolve().name, held_out=held_out, classes=classes,
    )  # fmt: skip
    editions.write_edition(made, out, force=force)
    for note in made.notes:
        click.echo(f"Note: {note}", err=True)
    size = sum(file.stat().st_size for file in out.iterdir())
    click.echo(f"{out}: {counted(len(made.specs), 'spec')}, {counted(len(made.runs), 'run')}, {size / 1e6:.2f} MB, digest {made.digest}")


@leaderboard.command()
@click.argument("name", metavar="EDITION")
@click.option("--n", default=64, show_default=True, type=click.IntRange(min=2), help="Pictures of each side and split.")
@click.option("--networks", "seeds", default=2, show_default=True, type=click.IntRange(min=1), help="Initial networks.")
@options.data
@options.download
@options.out("Folder of the new edition.")
@options.force
def kernels(name: str, n: int, seeds: int, data: Path | None, download: bool, out: Path, force: bool) -> None:
    """Measure the kernels of EDITION's networks before training, which the theory 'availability' needs, and write it with them.

    The new edition has a digest of its own. Of a large network this takes memory: 8 bytes times its weights times --n.
    """
    from dominoes.leaderboard import collecting
    from dominoes.leaderboard import edition as editions
    from dominoes.leaderboard import kernels as measuring

    made = measuring.with_kernels(collecting.find_edition(name), n=n, seeds=seeds, data=data, download=download, watch=click.echo)
    editions.write_edition(made, out, force=force)
    click.echo(f"{out}: {counted(len(made.specs), 'spec')} with kernels, digest {made.digest}")


@leaderboard.command()
@click.argument("theory", metavar="NAME|module:attr")
@_tasks
@_edition
@options.out("Folder of the entry.")
@options.force
def freeze(theory: str, chosen: tuple[str, ...], name: str | None, out: Path, force: bool) -> None:
    """Keep a theory's forecasts, with the versions of evaluator and edition, as an entry."""
    from dominoes.leaderboard import collecting, entry

    with contextlib.redirect_stdout(sys.stderr):
        made = entry.freeze(theory, collecting.find_edition(name), out, chosen or _TASKS, force=force)
    for task, sentence in made.answers.failures.items():
        click.echo(f"Note: no forecasts in {task}: {sentence}", err=True)
    click.echo(
        f"{out}: {len(made.answers.table)} forecasts of {theory}, edition {made.edition} ({made.digest}), evaluator {made.evaluator}"
    )


@leaderboard.command()
@click.argument("entries", nargs=-1, required=True, type=options.PATH)
@_edition
@_seed
@options.out("Board to write (.csv, .parquet or .json).")
@_json
def score(entries: tuple[Path, ...], name: str | None, seed: int, out: Path, as_json: bool) -> None:
    """Score frozen ENTRIES by the forecasts in them; their code is not run."""
    from dominoes.leaderboard import board, collecting, entry

    frozen = [each / file for each in entries for file in (entry.RECORD, entry.TABLE)]
    output.check_places({"--out": out}, (*frozen, *_files_of_edition(name)))
    found = entry.score(_entries(entries), collecting.find_edition(name), seed=seed)
    board.write_board(found.table, out)
    click.echo(board.as_json(found.table) if as_json else board.shown(found.table))


def _entries(paths: tuple[Path, ...]) -> dict[str, Entry]:
    from dominoes.leaderboard import entry

    found = [entry.read_entry(path) for path in paths]
    names = [each.theory for each in found]
    if len(set(names)) < len(names):
        raise LeaderboardError(f"two entries are of one theory ({', '.join(names)}); score each on a board of its own")
    return dict(zip(names, found, strict=True))


@leaderboard.command()
@click.argument("entries", nargs=-1, required=True, type=options.PATH)
@click.option("--seed", required=True, type=click.IntRange(min=0), help="Seed of the specs; the same seed deals the same.")
@click.option("--specs", default=16, show_default=True, type=click.IntRange(min=1), help="Specs to draw.")
@click.option("--seeds", default=6, show_default=True, type=click.IntRange(min=1), help="Runs of each spec, dealt anew for each.")
@click.option("--n", default=6000, show_default=True, type=click.IntRange(min=1), help="Dominoes.")
@click.option("--epochs", default=4, show_default=True, type=click.IntRange(min=1), help="Passes over the dataset.")
@click.option("--probe", default=500, show_default=True, type=click.IntRange(min=1), help="Test dominoes of each kind.")
@click.option("--top", default="mnist", show_default=True, metavar="SOURCE", help="Source of the top half.")
@click.option("--bottom", default="cifar10", show_default=True, metavar="SOURCE", help="Source of the bottom half.")
@click.option("--workers", type=click.IntRange(min=1), help="Runs at once.  [default: one for each core, or GPU]")
@_edition
@options.device()
@options.data
@options.download
@options.out("Folder for the runs (runs/) and the board (board.csv); finished runs in it are kept.")
@_json
def fresh(
    entries: tuple[Path, ...],
    seed: int,
    specs: int,
    seeds: int,
    n: int,
    epochs: int,
    probe: int,
    top: str,
    bottom: str,
    workers: int | None,
    name: str | None,
    device: str,
    data: Path | None,
    download: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Deal and run held-out specs that nobody has seen, and score frozen ENTRIES on them.

    The theories of the entries are fitted to the edition that they were frozen for; an entry whose code has changed since is refused.
    """
    from tqdm import tqdm

    from dominoes.leaderboard import board, collecting
    from dominoes.leaderboard import fresh as fresh_specs
    from dominoes.runs import sweeping
    from dominoes.runs.engines.protocol import WorkerSetting

    known, read = collecting.find_edition(name), _entries(entries)
    fresh_specs.check_frozen(read, known)
    dataset = fresh_specs.DATASET.model_copy(update={"n": n, "top": top, "bottom": bottom})
    training = fresh_specs.TRAINING.model_copy(update={"epochs": epochs, "probe": probe})
    drawn = fresh_specs.fresh_sweep(seed, specs, seeds, dataset, training)
    setting = WorkerSetting(out.resolve(), device, data.resolve() if data else None, download)
    ready = sweeping.prepare_sweep(drawn, setting, where=drawn.name)
    engine = sweeping.on_this_machine(setting, workers)
    failed = 0
    for report in tqdm(ready.launch(engine), total=len(ready.missing), unit="run", disable=None, file=sys.stderr):
        failed += report.state == "failed"
    if failed:
        click.echo(f"{counted(failed, 'run')} failed; the reasons are in {out}/runs/ID/FAILED, the same command runs them again", err=True)
        sys.exit(1)
    with contextlib.redirect_stdout(sys.stderr):
        found = fresh_specs.score(read, known, out, drawn.name)
    board.write_board(found.table, out / "board.csv")
    click.echo(board.as_json(found.table) if as_json else board.shown(found.table))
