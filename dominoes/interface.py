"""The Python way in: what the command line does, as functions. Paths are str or Path; what a user can get wrong raises DominoesError."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from dominoes import registry, tables
from dominoes.data import dealing, folder, instances, probe_sets, sources
from dominoes.data.dominoes import Dominoes
from dominoes.errors import CurvesError, RunError, SpecError
from dominoes.folded import CLASSES_COUNT
from dominoes.labels import classes_of_runs
from dominoes.mappings import read_mapping
from dominoes.reporting import completion, results
from dominoes.reporting.charts import board as boards
from dominoes.reporting.html import page
from dominoes.runs import parameters, progress, run_folders, sweep_file, sweeping
from dominoes.runs.engines.protocol import RunReport, WorkerSetting
from dominoes.runs.packed import mirror
from dominoes.runs.packed.packing import Packed
from dominoes.runs.progress import Status
from dominoes.runs.sweep_file import Sweep
from dominoes.solver import solution
from dominoes.solver.composition import Composition
from dominoes.spec import DominoSpec, RunSpec, TrainSpec, parse
from dominoes.theory import comparison
from dominoes.theory.fits import table as fits
from dominoes.theory.verdicts import Comparison
from dominoes.training import device as devices
from dominoes.training import loop, trial

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from dominoes.reporting.results import Results
    from dominoes.training.levels import Level
    from dominoes.training.loop import Callback

# A spec, the path of its YAML file, or its fields.
Request = DominoSpec | str | Path | Mapping[str, Any]
PathLike = str | Path


@dataclass(frozen=True, repr=False)
class Run:
    """A network trained on dominoes, and what was measured on the way.

    Attributes:
        spec: what was trained on what; its `id` names the run.
        curves: the learning curves (columns `tables.CURVES`).
        classes: test curves by class (columns `tables.CLASSES`).
        network: as it was after the last step.
        confusion: answers of the last measurement, probes × labels × answers.
        diverged: step at which a loss was not finite any more; None if it went well.
        dominoes: how many it was trained on.
        networks: by step, as they were measured, those that `checkpoints` asks for.
        levels: of the train loss, the steps at which they were met.
        joint: answers crossed picture by picture (columns `tables.JOINT`).
        measures: margins and the like (columns `tables.MEASURES`).
    """

    spec: RunSpec
    curves: pd.DataFrame
    classes: pd.DataFrame
    network: nn.Module
    confusion: NDArray[Any]
    diverged: int | None
    dominoes: int = field(default=0)
    networks: Mapping[int, nn.Module] = field(default_factory=dict)
    levels: tuple[Level, ...] = ()
    joint: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(tables.JOINT)))
    measures: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(tables.MEASURES)))

    @property
    def id(self) -> str:
        """First 12 hex digits of the SHA-256 of the spec's canonical JSON."""
        return self.spec.id

    @cached_property
    def last(self) -> pd.DataFrame:
        """Loss and accuracy on the test probes at the last step, one row a kind."""
        test = self.curves[self.curves["split"] == "test"]
        found = test[test["step"] == test["step"].max()].set_index("kind")
        return pd.DataFrame(found[["n", "loss", "accuracy", "agree_top", "agree_bottom"]])

    def __repr__(self) -> str:
        ends = ", ".join(f"{kind} {accuracy:.3f}" for kind, accuracy in self.last["accuracy"].items())
        state = "" if self.diverged is None else f", diverged at step {self.diverged}"
        steps = int(self.curves["step"].max())
        return f"<Run {self.id}: {self.spec.train.model}, seed {self.spec.seed}, {steps} steps{state}; test accuracy {ends}>"


# What curves are taken from: runs, tables, or paths of results; one or several.
CurvesLike = Run | pd.DataFrame | PathLike


def solve(request: Request, *, data: PathLike | None = None) -> Composition:
    """The exact counts of a request on the stock of its sources. Raises SpecError, Infeasible, SourceError."""
    spec = _spec(request)
    return solution.solve(spec, sources.stock(spec, data=_path(data)))


def make(request: Request, *, data: PathLike | None = None, download: bool = False, **items: Any) -> Dominoes:
    """A dataset in memory: solved, and dealt from its sources.

    Args:
        request: a spec, the path of its YAML file, or its fields.
        data: folder with the sources; else $DOMINOES_DATA, else the cache folder.
        download: let torchvision download a named source that is not there.
        items: `transform`, `target_transform`, `item_metadata` of `Dominoes`.
    """
    return Dominoes.of(dealing.deal_spec(_spec(request), data=_path(data), download=download), **items)


def build(
    request: Request, path: PathLike, *, data: PathLike | None = None, download: bool = False, force: bool = False, **items: Any
) -> Dominoes:
    """Make a dataset and keep it as a folder (no pixels); `load` gives it back. Arguments as of `make`; `force` replaces a folder."""
    dealt = dealing.deal_spec(_spec(request), data=_path(data), download=download)
    if isinstance(request, Mapping) and "instance" in request:
        instances.refuse_other_rows(dealt.spec, folder.metadata(dealt.deal))
    folder.save_dataset(dealt, Path(path), force=force)
    return Dominoes.of(dealt, **items)


def load(path: PathLike, *, data: PathLike | None = None, download: bool = False, trust: bool = False, **items: Any) -> Dominoes:
    """The dataset of a folder that `build` or the command line made. Raises DatasetError if anything is not what its digests say.

    `trust` runs code that its spec names by an unpinned reference.
    """
    return Dominoes.of(folder.read_dataset(Path(path), data=_path(data), download=download, trust=trust), **items)


def train(
    dominoes: Dominoes | Request,
    *,
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
    data: PathLike | None = None,
    download: bool = False,
    progress: Callable[[int, int], None] = lambda step, steps: None,
    callbacks: Sequence[Callback] = (),
    **how: Any,
) -> Run:
    """Train one network and measure it on the way, in memory.

    Args:
        dominoes: a dataset of `make`, `build` or `load`, or what `make` takes.
        seed: of initialisation and order.
        device: auto, cpu, cuda or mps.
        threads: CPU threads; the numbers depend on it in the last digits.
        data, download: where the test pictures of the probes are, as in `make`.
        progress: called after each step with (step, last step).
        callbacks: called at each measurement with the step, a copy of the network in evaluation mode, and the rows of the curves; they
            cannot disturb training.
        how: fields of TrainSpec: `model`, `epochs`, `lr`, ...

    Raises SpecError, RegistryError; RunError where a loss is not finite before training. What brought code raises passes through.
    """
    _refuse_unnamed(how)
    trained_on = dominoes if isinstance(dominoes, Dominoes) else make(dominoes, data=data, download=download)
    if trained_on.spec is None:
        raise SpecError("the dataset does not say what it was dealt for; expected one of make, build or load")
    spec = RunSpec(dataset=trained_on.spec, train=parse(TrainSpec, how), seed=seed)
    probes = probe_sets.for_training(spec.dataset, spec.train, data=_path(data), download=download)
    where = devices.device_of(device)
    trial.check_run(spec, trained_on)
    networks: dict[int, nn.Module] = {}

    def keep(step: int, network: nn.Module) -> None:
        networks[step] = deepcopy(network).cpu().eval()

    options: dict[str, Any] = {"device": where, "threads": threads, "progress": progress, "keep": keep, "callbacks": callbacks}
    trained = loop.train(spec, trained_on, probes, **options)
    if trained.diverged == 0:
        raise RunError(f"before training a loss of {spec.train.model} is not finite, so there is no curve; expected finite answers")
    measured = trained.curves, trained.classes, trained.network, trained.confusion, trained.diverged
    return Run(spec, *measured, len(trained_on), networks, trained.levels, trained.joint, trained.measures)


def compare(curves: CurvesLike | Sequence[CurvesLike], classes: pd.DataFrame | None = None, **options: Any) -> Comparison:
    """Ask whether the pattern-learning model predicts the curves; each group of runs that differ by seed alone is judged.

    Args:
        curves: runs, tables of curves, or paths of results; one or several.
        classes: the table by class that goes with tables of curves; runs and folders have their own.
        options: of `theory.compare_groups`: `by`, `level`, `margins`, `joint` (else that of the runs), ...

    Raises CurvesError.
    """
    joined, by_class, _ = _joined(curves)
    options = {"joint": _crossed(curves)} | options
    if CLASSES_COUNT in joined.attrs and classes is None and by_class is None:
        options = {"classes_count": joined.attrs[CLASSES_COUNT]} | options
    return comparison.compare_groups(joined, by_class if classes is None else classes, **options)


def fit(curves: CurvesLike | Sequence[CurvesLike], **options: Any) -> pd.DataFrame:
    """Every learning curve fitted with every family, one row each; options of `theory.fit_table`. Raises CurvesError, FitError.

    `chance` is 1/K with each run's own classes, in runs, folders and kept studies, of other tables 0.1 where it is not given.
    """
    joined, _, counts = _joined(curves)
    chance: float | dict[str, float] = 0.1
    if "run" in joined.columns:
        chance = {str(run): 1 / counts.get(str(run), 10) for run in joined["run"].unique()}
    return fits.fit_table(joined, **({"chance": chance} | options))


def report(
    found: CurvesLike | Sequence[CurvesLike],
    path: PathLike,
    *,
    fit: bool = False,
    data: PathLike | None = None,
    board: PathLike | None = None,
) -> Path:
    """Write one page (.html) about runs, tables of curves or folders of results; returns its path.

    Args:
        found: as in `compare`.
        path: of the page.
        fit: fit and compare here what the results hold no fits and comparison of.
        data: folder with the sources, for the preview.
        board: of a leaderboard; None: `board.csv` in one of the folders, if it is there.
    """
    page.known_suffix(Path(path))
    scores = boards.find_board([mirror.results(each) for each in _several(found) if isinstance(each, str | Path)], board=_path(board))
    with tempfile.TemporaryDirectory() as place:
        kept = _kept(found, Path(place))
        page.write_page(completion.complete(kept) if fit else kept, Path(path), data=_path(data), board=scores)
    return Path(path)


def read_sweep(path: PathLike) -> Sweep:
    """A sweep file, checked. Raises SpecError with the path of the first wrong entry."""
    return sweep_file.read_sweep_file(Path(path))


def run_sweep(
    sweep: Sweep | PathLike,
    out: PathLike,
    *,
    workers: int | None = None,
    device: str = "auto",
    data: PathLike | None = None,
    download: bool = False,
    limit: int | None = None,
    keep_going: bool = False,
    skip_infeasible: bool = False,
    accept_changed: bool = False,
    trust: bool = False,
    callbacks: Sequence[str] = (),
    packed: bool | None = None,
    progress: Callable[[RunReport], None] = lambda report: None,
) -> Status:
    """Execute the runs of a sweep that are missing in a results folder, on this machine; how far it is then.

    Args:
        sweep: of `read_sweep`, or the path of its file.
        out: results folder, or with `packed` the address of an object store (s3://bucket/x); what is finished there is kept.
        workers: processes at once; None: one for each core, or GPU.
        device, data, download: as in `train`.
        limit: execute so many runs at most.
        keep_going: start further runs after one has failed.
        skip_infeasible: go on without the runs that have no dataset.
        accept_changed: keep finished runs that were made of other pictures, with other code, or by another version.
        trust: run code that the sweep names by unpinned references.
        callbacks: names of what to call at each measurement: an installed entry point's, or module:attr.
        packed: put finished runs into shards; None: of more than 10,000 runs, and where some are in shards already.
        progress: called with the report of each run as it ends.
    """
    described = sweep if isinstance(sweep, Sweep) else read_sweep(sweep)
    where = None if data is None else Path(data).resolve()
    setting = WorkerSetting(mirror.results(out, new=True).resolve(), device, where, download, callbacks=tuple(callbacks))
    options = {"skip_infeasible": skip_infeasible, "accept_changed": accept_changed, "trust": trust}
    ready = sweeping.prepare_sweep(described, setting, where=described.name, packed=packed, **options)
    for each in ready.launch(sweeping.on_this_machine(ready.setting, workers), limit=limit, keep_going=keep_going):
        progress(each)
    return status(out)


def status(out: PathLike) -> Status:
    """How far the sweep in a results folder, or at the address of an object store, is. Raises RunError if there is none."""
    from dominoes.runs import plan

    place = mirror.results(out)
    return progress.sweep_status(plan.outline(place), place)


def pack(out: PathLike) -> Packed:
    """Put the finished runs of a results folder into shards, which every function here reads as it reads folders; what was packed.

    Raises RunError: there is no such folder, or another process packs it; OutputError: it cannot be written.
    """
    return sweeping.pack_results(mirror.results(out))


def _path(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path)


def _refuse_unnamed(how: Mapping[str, Any]) -> None:
    """Classes and functions are named, so that a run's spec says and records them. Raises SpecError with the name to write."""
    for name, value in how.items():
        if callable(value):
            module, own = getattr(value, "__module__", None), getattr(value, "__qualname__", None) or type(value).__qualname__
            written = f"{module}:{own}" if module and module != "__main__" and "<" not in own else "module:attr"
            raise SpecError(f"{name}: expected a name, such as '{written}', so that the run records it, got the object {own} itself")


def _spec(request: Request) -> DominoSpec:
    if isinstance(request, DominoSpec):
        return request
    if isinstance(request, str | Path):
        if Path(request).is_dir():
            raise SpecError(f"{request} is a folder; expected a YAML file, or read a dataset's folder with dominoes.load")
        found = parse(DominoSpec, instances.expanded(read_mapping(Path(request)), where=str(request)), where=str(request))
        registry.refuse_untrusted(found.named(), str(request), remedy="pass its fields")
        return found
    if not isinstance(request, Mapping):
        raise SpecError(f"expected a DominoSpec, the path of a YAML file, or a mapping of fields, got {type(request).__name__}")
    return parse(DominoSpec, instances.expanded(request))


def _several(curves: CurvesLike | Sequence[CurvesLike]) -> list[CurvesLike]:
    if not isinstance(curves, Run | pd.DataFrame | str | Path | Iterable):
        raise CurvesError(f"expected runs, tables of curves, or paths of results, got {type(curves).__name__}")
    found = [curves] if isinstance(curves, Run | pd.DataFrame | str | Path) else list(curves)
    if not found:
        raise CurvesError("there are no curves; expected runs, tables of curves, or paths of results")
    for each in found:
        if not isinstance(each, Run | pd.DataFrame | str | Path):
            raise CurvesError(f"expected runs, tables of curves, or paths of results, got {type(each).__name__}")
    return found


def _joined(curves: CurvesLike | Sequence[CurvesLike]) -> tuple[pd.DataFrame, pd.DataFrame | None, dict[str, int]]:
    """One table of curves, with what differs between the runs as further columns, one by class, and K of the runs that say it."""
    found = _several(curves)
    runs = [each for each in found if isinstance(each, Run)]
    made = {run.id: parameters.of_spec(run.spec, run.dominoes) for run in runs}
    names = parameters.differing(list(made.values())) if len(made) > 1 else []
    parts, by_class = [], []
    for each in found:
        if isinstance(each, Run):
            parts.append(each.curves.assign(**{name: made[each.id][name] for name in names}))
            by_class.append(each.classes)
        elif isinstance(each, pd.DataFrame):
            parts.append(each)
        elif (place := mirror.results(each)).is_dir():
            read = parameters.read_tables(place, ("curves", "classes"))
            parts.append(read.table("curves"))
            by_class.append(read.table("classes"))
        else:
            parts.append(tables.read_unchecked(place))
    kept = {str(run): part.attrs[CLASSES_COUNT] for part in parts if CLASSES_COUNT in part.attrs for run in set(part["run"])}
    rows = pd.concat(by_class, ignore_index=True) if by_class else None
    return pd.concat(parts, ignore_index=True), rows, kept | classes_of_runs(rows)


def _crossed(curves: CurvesLike | Sequence[CurvesLike]) -> pd.DataFrame | None:
    """The answers crossed picture by picture of runs and folders; None where there are others, or where one lacks them."""
    found = []
    for each in _several(curves):
        if isinstance(each, Run):
            part = each.joint if len(each.joint) else None
        else:
            place = None if isinstance(each, pd.DataFrame) else mirror.results(each)
            part = parameters.read_joint(run_folders.finished(place)) if place is not None and place.is_dir() else None
        if part is None:
            return None
        found.append(part)
    return pd.concat(found, ignore_index=True)


def _kept(found: CurvesLike | Sequence[CurvesLike], place: Path) -> Results:
    """Results for a page: those on disk as they are; runs and tables in memory by way of a table."""
    several = _several(found)
    paths = [mirror.results(each) for each in several if isinstance(each, str | Path)]
    memory = [each for each in several if not isinstance(each, str | Path)]
    if memory:
        joined, by_class, _ = _joined(memory)
        joined.to_csv(place / "curves.csv", index=False)
        if by_class is not None:
            by_class.to_csv(place / "classes.csv", index=False)
        paths.append(place / "curves.csv")
    return results.gather(paths)
