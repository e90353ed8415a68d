"""Options that several commands share, and how what was given becomes a spec. Like `commands`, it knows click."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from dominoes import registry
from dominoes.errors import SpecError
from dominoes.mappings import read_mapping
from dominoes.spec import Decode, DominoSpec, Input, Labels, Precision, Split, TrainSpec, parse

Command = Callable[..., None]


class _Path(click.Path):
    """A path; nothing is none, and `-` is standard output where a table is written (`TABLE`) and else a slip.

    The address of an object store is one of results (`RESULTS`), or where results are begun (`NEW_RESULTS`), and else a slip.
    """

    def __init__(self, *, stream: bool = False, results: bool = False, new: bool = False):
        super().__init__(path_type=Path, allow_dash=stream)
        self._stream = stream
        self._results = results
        self._new = new

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value):
            self.fail("expected a path, got nothing", param, ctx)
        if str(value) == "-" and not self._stream:
            self.fail("'-' is standard output, which only a table is written to; './-' is a file of that name", param, ctx)
        if isinstance(value, str) and "://" in value:
            if not self._results:
                self.fail(
                    f"{value} is an address, expected a path on this machine; results of sweeps can be in an object store", param, ctx
                )
            from dominoes.runs.packed import mirror

            return mirror.results(value, new=self._new)
        # './-' is the same to pathlib; the full path is not.
        return super().convert(Path.cwd() / "-" if str(value) != "-" and Path(value) == Path("-") else value, param, ctx)


PATH = _Path()
TABLE = _Path(stream=True)
RESULTS = _Path(results=True)
NEW_RESULTS = _Path(results=True, new=True)

data = click.option("--data", type=PATH, help="Folder with the sources.  [default: $DOMINOES_DATA, else the cache folder]")
download = click.option("--download", is_flag=True, help="Let torchvision download a named source that is not there.")
force = click.option("--force", is_flag=True, help="Replace what an earlier call of this command left at --out.")
trust = click.option("--trust", is_flag=True, help="Run code that a file names as module:attr and that is neither pinned nor installed.")
accept_changed = click.option(
    "--accept-changed", is_flag=True, help="Keep finished runs that were made with another package, other code or other pictures."
)
callbacks = click.option("--callback", "callbacks", metavar="NAME", multiple=True, help="What to call at each measurement; repeatable.")
deterministic = click.option(
    "--deterministic/--no-deterministic",
    default=True,
    show_default=True,
    help="Of CUDA: only algorithms that repeat themselves bit for bit. A CPU always does.",
)


def device(default: str = "auto") -> Callable[[Command], Command]:
    """The option --device."""
    names = click.Choice(["auto", "cpu", "cuda", "mps"])
    return click.option("--device", default=default, show_default=True, type=names, help="Where to train.")


def out(text: str, *, table: bool = False) -> Callable[[Command], Command]:
    """The option --out, for what `text` says is written; a table also to standard output."""
    if table:
        return click.option("--out", required=True, type=TABLE, help=f"{text[:-1]}; '-': to standard output.")
    return click.option("--out", required=True, type=PATH, help=text)


def partial(text: str) -> Callable[[Command], Command]:
    """The option --partial, for what `text` says is accepted."""
    return click.option("--partial", is_flag=True, help=f"{text} Without it the exit code is then 3.")


left_out = partial("Accept that damaged runs are left out.")


def _default(form: type[DominoSpec] | type[TrainSpec], field: str) -> str:
    value = form.model_fields[field].default
    return " ".join(f"{part:g}" for part in value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)


# Values travel as text: the spec converts and checks them, so that flags and YAML files are refused in the same words.
_DATASET = [
    ("--instance", "NAME", 1, "Standard instance, which says all of the dataset but its --seed; 'dominoes list instances' has them."),
    ("--n", "INT|max", 1, "Dominoes; max is the most that the stock allows."),
    ("--prevalence", "A C", 2, "Shares in which the top, the bottom half is shown; '-' leaves one open."),
    ("--both", "D", 1, "Share that shows both halves.  [default: A*C, the halves independent]"),
    ("--empty", "E", 1, "Share that shows neither half."),
    ("--ratio", "R", 1, "A / C, doubles counted in both."),
    ("--reliability", "P Q", 2, "Of the shown top, bottom halves the share that shows the label's class."),
    ("--labels", "|".join(Labels), 1, "Distribution of labels: alike, or as the stock has them."),
    ("--reuse", "INT", 1, "How often one picture may be used at most."),
    ("--top", "SOURCE", 1, "Source of the top half: a name or a path."),
    ("--bottom", "SOURCE", 1, "Source of the bottom half."),
    ("--split", "|".join(Split), 1, "Split of the sources that is dealt."),
    ("--seed", "INT", 1, "Seed of the deal and the pairing."),
]
_DIALS = [
    ("--top-transform", "What is done to the top's pictures: noise=0.5, blur=1, ...; repeatable, in this order."),
    ("--bottom-transform", "What is done to the bottom's pictures; repeatable."),
]
# Left out, these follow from the others.
_OPEN = ("prevalence", "both", "empty", "ratio")
_TRAINING = [
    ("--model", "NAME", "Network: detector, mlp, resnet8, resnet18, an installed one, or module:attr."),
    ("--epochs", "INT", "Passes over the dataset."),
    ("--batch", "INT", "Dominoes a step."),
    ("--optimizer", "NAME", "Optimiser: sgd, adam, another of torch.optim in small letters, an installed one, or module:attr."),
    ("--lr", "X", "Learning rate."),
    ("--momentum", "X", "Momentum of SGD; of Adam and its like, beta 1."),
    ("--weight-decay", "X", "L2 penalty."),
    ("--measurements", "INT|auto", "Points of the geometric grid of steps at which everything is measured; auto: by the run's size."),
    ("--probe", "INT|auto", "Test dominoes of each kind to measure on; auto: by the run's size, and 1000 with --measurements INT."),
    ("--probe-train", "INT", "Training dominoes of each kind at most.  [default: as the probe, a quarter of it where that is auto]"),
    ("--probe-seed", "INT", "Seed of the probes; runs that share it are measured on the same dominoes."),
    ("--probe-pairings", "INT", "Pairings in which the pictures of double and conflicting probes are measured."),
    ("--decode", "|".join(Decode), "When to refit the last layer for each half, on a balanced sample of training pictures."),
    ("--precision", "|".join(Precision), "What it computes in; tf32 is float32 where the device is not CUDA."),
    ("--parameter-groups", "MODULE:ATTR", "What makes the optimiser's parameter groups of the network."),
    ("--schedule", "NAME", "Factor of the learning rate: constant, cosine, triangular, steps, an installed one, or module:attr."),
    ("--warmup", "STEPS", "Steps in which the rate rises linearly before the schedule begins."),
    ("--clip", "X", "Largest norm of all gradients together."),
    ("--loss", "NAME", "Loss of training: cross-entropy, an installed one, or module:attr."),
    ("--input", "|".join(Input), "What pixels become: minus 0.3, over 0.3 (of their range), or 0 to 1 as they are."),
    ("--checkpoints", "none|last|measurements|STEPS", "At which measured steps the network is kept; STEPS such as 0,10,100."),
    ("--stop-loss", "X", "Train loss at which training ends before its last epoch."),
    ("--measure-at-loss", "X,X", "Train losses at whose first meeting everything is measured too, such as .6,.3,.03."),
    ("--level-kind", "mix|top|bottom|both|empty", "Whose train loss those two are of."),
]
_ARGUMENTS = [
    ("--model-args", "NAME=VALUE", "Argument of the network; repeatable."),
    ("--optimizer-args", "NAME=VALUE", "Argument of the optimiser; repeatable."),
    ("--schedule-args", "NAME=VALUE", "Argument of the schedule: floor of cosine and triangular, peak, at, factor; repeatable."),
    ("--loss-args", "NAME=VALUE", "Argument of the loss, of cross-entropy label_smoothing; repeatable."),
    ("--augment", "'NAME ...'", "Change dominoes at random in training: flip, 'crop side=top shift=2', ...; repeatable, in this order."),
]


# Fixed sets, so that shells complete them.
_CHOICES = {
    name: click.Choice([each.value for each in values])
    for name, values in (("labels", Labels), ("split", Split), ("precision", Precision), ("input", Input), ("decode", Decode))
}


def _text(field: str, metavar: str) -> dict[str, Any]:
    """Type and metavar of an option whose value travels as text."""
    return {"type": _CHOICES[field]} if field in _CHOICES else {"type": str, "metavar": metavar}


def dataset(command: Command) -> Command:
    """The options of a dataset's spec."""
    command = click.option("--swap/--no-swap", "spec_swap", default=None, help="The halves change places: the top half is below.")(command)
    for flag, text in reversed(_DIALS):
        command = click.option(flag, f"spec_{flag[2:].replace('-', '_')}", metavar="NAME=VALUE", multiple=True, help=text)(command)
    for flag, metavar, count, text in reversed(_DATASET):
        field = flag[2:]
        default = (
            _default(DominoSpec, field) if field in ("n", "reliability", "labels", "reuse", "top", "bottom", "split", "seed") else None
        )
        help_ = f"{text}  [default: {default}]" if default else text
        command = click.option(flag, f"spec_{field}", nargs=count, help=help_, **_text(field, metavar))(command)
    return command


def training(**defaults: object) -> Callable[[Command], Command]:
    """The options of how a network is trained; `defaults` are those of a command that has its own."""

    def add(command: Command) -> Command:
        permuted = "Measure the doubles of the probes also with one half permuted over the probe."
        command = click.option("--probe-permuted/--no-probe-permuted", "train_probe_permuted", default=None, help=permuted)(command)
        for flag, metavar, text in reversed(_ARGUMENTS):
            command = click.option(flag, f"train_{flag[2:].replace('-', '_')}", metavar=metavar, multiple=True, help=text)(command)
        for flag, metavar, text in reversed(_TRAINING):
            field = flag[2:].replace("-", "_")
            default = defaults.get(field, _default(TrainSpec, field))
            help_ = f"{text}  [default: {default}]" if default not in ("None", "") else text
            command = click.option(flag, f"train_{field}", help=help_, **_text(field, metavar))(command)
        return command

    return add


def given_fields(options: Mapping[str, Any], head: str) -> dict[str, Any]:
    """The options that were given and belong to one spec."""
    found = {name.removeprefix(head): value for name, value in options.items() if name.startswith(head) and value not in (None, ())}
    for name, value in found.items():
        # A flag of two values takes whatever follows.
        if isinstance(value, tuple) and any(isinstance(part, str) and part.startswith("--") for part in value):
            raise SpecError(
                f"--{name.replace('_', '-')}: expected values, got '{' '.join(value)}'; two are needed, of the top and the bottom"
            )
    if isinstance(found.get("prevalence"), tuple):
        found["prevalence"] = tuple(None if part == "-" else part for part in found["prevalence"])
    return found


def spec(file: Path | None, options: Mapping[str, Any], *, trust: bool = False) -> DominoSpec:
    """The spec of a YAML file, if there is one, with the flags in its fields' places. Raises RegistryError if the file names code that is
    not trusted."""
    from dominoes.data.instances import expanded

    given = given_fields(options, "spec_")
    if file is None:
        return parse(DominoSpec, expanded(given))
    found = parse(DominoSpec, expanded(read_mapping(file) | given, where=str(file)), where=str(file))
    if not trust:
        registry.refuse_untrusted([(kind, name) for kind, name in found.named() if name not in given.values()], str(file))
    return found


def seeds(text: str, *, flag: str = "--seeds") -> list[int]:
    """Numbers of a list such as 0-4 or 0,3,7. Raises SpecError that names the flag."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(-?\d{1,15})(?:-(\d{1,15}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < first + 10_000:
            raise SpecError(f"{flag}: expected whole numbers such as 0-4 or 0,3,7, at most 10,000 in a range, got '{text}'")
        found += range(first, last + 1)
    if len(set(found)) < len(found):
        raise SpecError(f"{flag}: expected different numbers, got '{text}'")
    return found
