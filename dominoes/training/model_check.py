"""Whether a network that a user brings does what training and measuring take for granted, tried on pictures that come with the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from dominoes.data import dealing
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.errors import DominoesError, SpecError, brief
from dominoes.spec import DominoSpec, RunSpec, TrainSpec, parse
from dominoes.training import trial
from dominoes.training.device import Device, NoiseStream
from dominoes.training.loop import Trained, train
from dominoes.training.models import initial

_DATASET = DominoSpec(n=320, prevalence=(0.7, 0.7), top="digits", bottom="textures")
_PROBE = 64
# Answers to one picture, alone and among others, may differ by rounding.
_TOLERANCE = 1e-4
_ALONE = "a picture alone and among others"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what, whether it is as it must be, what was found; `warns` where it holds and is worth knowing."""

    what: str
    holds: bool
    found: str
    warns: bool = False


@dataclass(frozen=True)
class ModelCheck:
    """What was found out about a network.

    Attributes:
        parameters: how many numbers it learns.
        findings: of each thing that must hold.
        step_seconds: of a training step of 64 dominoes on one thread of this CPU.
        picture_seconds: of measuring one domino.
    """

    parameters: int
    findings: tuple[Finding, ...] = field(repr=False)
    step_seconds: float
    picture_seconds: float

    @property
    def holds(self) -> bool:
        """Whether everything is as it must be."""
        return all(each.holds for each in self.findings)


def check_model(model: str, arguments: Mapping[str, Any] | None = None) -> ModelCheck:
    """Make the network, train and measure it for five steps a few times, on a CPU.

    Raises RegistryError or SpecError if it cannot be had, does not answer with N×K numbers, or cannot be trained.
    """
    how = parse(TrainSpec, {"model": model, "model_args": dict(arguments or {}), "epochs": 1, "measurements": 2, "probe": _PROBE})
    dominoes, tests = Dominoes.of(dealing.deal_spec(_DATASET)), probes(_DATASET, _PROBE, 0)
    trial.check_run(RunSpec(dataset=_DATASET, train=how), dominoes)
    network = initial(model, len(dominoes.classes), 0, how.model_args)

    def run(**fields: object) -> Trained:
        try:
            found = train(RunSpec(dataset=_DATASET, train=how.model_copy(update=fields)), dominoes, tests)
        except DominoesError:
            raise
        except Exception as error:
            raise SpecError(f"model {model} cannot be trained for five steps ({type(error).__name__}: {brief(error)})") from error
        if found.diverged is not None:
            raise SpecError(f"model {model}: a loss is not finite at step {found.diverged}; expected finite answers")
        return found

    first = run()
    again, often = run(), run(measurements=10**6)
    measured = int(again.curves["n"].sum())
    findings = (
        Finding("answers", True, f"N×{len(dominoes.classes)} to N pictures"),
        _equal("the same run twice", first.network, again.network, "the same weights to the bit", "other weights"),
        _equal("measuring", first.network, often.network, "changes nothing", "changes what is learned"),
        *_answers(first.network, tests["both"]),
    )
    count = sum(each.numel() for each in network.parameters() if each.requires_grad)
    return ModelCheck(count, findings, again.seconds["training"] / again.steps, again.seconds["measuring"] / measured)


def _equal(what: str, one: nn.Module, other: nn.Module, well: str, badly: str) -> Finding:
    mine, theirs = one.state_dict(), other.state_dict()
    holds = all(torch.equal(mine[name], theirs[name]) for name in mine)
    return Finding(what, holds, well if holds else badly)


def _answers(network: nn.Module, probe: Dominoes) -> list[Finding]:
    """Whether the answer to a picture is its own: the same each time, whatever other pictures come with it; and whether the pictures stay
    as they are. Each time the network is given a copy, so that one does not look like the other."""
    network.eval()
    hardware = Device(torch.device("cpu"))
    with hardware.entered(), NoiseStream(0, hardware.device).entered(), torch.no_grad():
        pictures = probe.compose(torch.arange(16), normalize=True)
        given = pictures.clone()
        together = network(given)
        changed = not torch.equal(given, pictures)
        said = "changed in place: every batch is made anew, so that it does no harm here; pictures that are used again would be others"
        kept = Finding("the pictures it is given", True, said if changed else "stay as they are", changed)
        try:
            singly = [network(pictures[row : row + 1].clone()) for row in range(len(pictures))]
        except Exception as error:
            return [kept, Finding(_ALONE, False, f"it cannot answer to one picture ({type(error).__name__}: {brief(error)})")]
    shapes = ("×".join(map(str, each.shape)) or "one number" for each in singly if each.shape != together[:1].shape)
    if shape := next(shapes, None):
        return [kept, Finding(_ALONE, False, f"it answers {shape}, not 1×{together.shape[1]}, to one picture; does it squeeze the batch?")]
    difference = float((together - torch.cat(singly)).abs().max())
    holds = difference < _TOLERANCE * max(1.0, float(together.abs().max()))
    return [kept, Finding(_ALONE, holds, f"answers differ by at most {difference:.1e}")]
