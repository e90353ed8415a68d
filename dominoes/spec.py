"""What the researcher asks for: frozen specs, their canonical JSON, run ids and named seeds."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dominoes import arguments, registry
from dominoes.arguments import Arguments
from dominoes.errors import SpecError, brief
from dominoes.fields import (
    AUTO,
    MOST,
    Augmentations,
    Checkpoints,
    CountOrAuto,
    CountOrMax,
    GroupingName,
    LossLevels,
    LossName,
    ModelName,
    NamedArguments,
    Number,
    OptimizerName,
    ScheduleName,
    Share,
    Transforms,
    Whole,
)

SIDES = ("top", "bottom")
KINDS = ("top", "bottom", "both", "empty")
PROBES = ("top", "bottom", "both", "conflict", "empty")
# Further probes, on request: doubles of which one half changes places with those of other dominoes.
PERMUTED = ("top permuted", "bottom permuted")


class Labels(StrEnum):
    """How labels are distributed: every class alike, or each class as often as the stocks have it."""

    BALANCED = "balanced"
    STOCK = "stock"


class Split(StrEnum):
    """The sources' split that is dealt."""

    TRAIN = "train"
    TEST = "test"


class Precision(StrEnum):
    """What a run computes in: see `TrainSpec`."""

    FLOAT32 = "float32"
    TF32 = "tf32"
    BFLOAT16 = "bf16"


class Decode(StrEnum):
    """When the last layer is refitted to say what of each half can be read off what comes before it."""

    NONE = "none"
    LAST = "last"
    MEASUREMENTS = "measurements"


class Input(StrEnum):
    """How pixels become numbers: minus 0.3, over 0.3 (of the range of a pixel), or as they are, from 0 to 1."""

    STANDARD = "standard"
    UNIT = "unit"


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, /, **values: Any) -> None:
        """Raises SpecError: the first wrong field, its value and its range in one sentence, as everywhere."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SpecError(_sentence(type(self), dict(error.errors()[0]))) from None

    # Pydantic's own way through `model_validate` stays as it is, so that `parse` can name nested fields.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    # Fields that came after ids had been published. At their default they are left out of the canonical JSON, so that ids stay.
    _later: ClassVar[frozenset[str]] = frozenset()

    def canonical(self) -> str:
        """JSON with sorted keys and no spaces: equal specs are equal bytes. It has every field, but for later ones at their default."""
        return json.dumps(self.identity(), sort_keys=True, separators=(",", ":"))

    def identity(self) -> dict[str, Any]:
        """The fields that the canonical JSON has, as plain values."""
        fields = type(self).model_fields
        values = {name: getattr(self, name) for name in fields if name not in self._later or getattr(self, name) != fields[name].default}
        plain = self.model_dump(mode="json", include=set(values))
        return plain | {name: value.identity() for name, value in values.items() if isinstance(value, _Spec)}

    @property
    def id(self) -> str:
        """First 12 hex digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()[:12]


class DominoSpec(_Spec):
    """A dataset of dominoes, in the researcher's parameters.

    Attributes:
        n: number of dominoes, or `max`, the most that the stock allows.
        prevalence: (A, C), shares of the dominoes in which the top, the bottom half is shown; None leaves one open.
        both: D, share that shows both halves. If it is neither given nor implied, the halves are shown independently: D = A·C.
        empty: E, share that shows neither: E = 1 − A − C + D.
        ratio: R = A / C.
        reliability: for each side, the share of shown halves whose class is the label's.
        labels: distribution of the labels.
        reuse: how often one picture may be used at most.
        top: source of the top half: a name, or a path (see `sources`).
        bottom: source of the bottom half.
        split: the sources' split that is dealt.
        seed: of the deal and the pairing.
        top_transform: what is done to the top's pictures, in this order: `NAME=VALUE` each (see `dials`).
        bottom_transform: what is done to the bottom's pictures.
        swap: the halves change places in the picture: the top half, whatever it is called, is then below.

    Any three independent ones of A, C, D, E and R fix the rest (`shares.resolve`).
    """

    _later: ClassVar[frozenset[str]] = frozenset({"top_transform", "bottom_transform", "swap"})

    n: CountOrMax = "max"
    prevalence: tuple[Share | None, Share | None] = (None, None)
    both: Share | None = None
    empty: Share | None = None
    ratio: Annotated[Number, Field(ge=0)] | None = None
    reliability: tuple[Share, Share] = (1.0, 1.0)
    labels: Labels = Labels.BALANCED
    reuse: Annotated[Whole, Field(ge=1, le=1_000_000)] = 1
    top: Annotated[str, Field(min_length=1)] = "mnist"
    bottom: Annotated[str, Field(min_length=1)] = "cifar10"
    split: Split = Split.TRAIN
    seed: Whole = 0
    top_transform: Transforms = ()
    bottom_transform: Transforms = ()
    swap: bool = False

    def transforms(self, side: str) -> tuple[str, ...]:
        """What is done to the pictures of one side, in order."""
        return self.top_transform if side == "top" else self.bottom_transform

    def described(self, side: str) -> str:
        """The source of one side, and what is done to its pictures, for people."""
        name: str = getattr(self, side)
        return f"{name} ({' '.join(self.transforms(side))})" if self.transforms(side) else name

    @property
    def simplicity(self) -> dict[str, Any]:
        """The fields of the look that are not at their default, beside the sources: as plain values, for records of a dataset."""
        return {name: value for name, value in self.identity().items() if name in self._later}

    @property
    def look(self) -> DominoSpec:
        """What the pictures of both halves and their places follow from, all else at its default: equal looks have equal probes."""
        fields = ("top", "bottom", "top_transform", "bottom_transform", "swap")
        return DominoSpec(**{field: getattr(self, field) for field in fields})

    def named(self) -> tuple[tuple[str, str], ...]:
        """(kind of the registry, name) of its sources and dials from outside."""
        # Behind a name its classes may stand in brackets.
        sources = [("sources", re.sub(r"\[[^\[]*\]$", "", name)) for name in (self.top, self.bottom)]
        dials = [("dials", text.partition("=")[0]) for side in SIDES for text in self.transforms(side)]
        known = {(kind, entry.name) for kind in ("sources", "dials") for entry in registry.installed(kind)}
        return tuple(each for each in dict.fromkeys(sources + dials) if registry.is_reference(each[1]) or each in known)

    @property
    def shared(self) -> bool:
        """Whether both sides draw on one source, in whatever way its path is spelt."""
        paths = [side if "/" not in side and "." not in side else os.path.realpath(side) for side in (self.top, self.bottom)]
        return paths[0] == paths[1]


class TrainSpec(_Spec):
    """How a network is trained and measured. Names are those of `registry`: built in, an installed entry point's, or `module:attr`.

    Attributes:
        model: the network.
        epochs: passes over the dataset, at most.
        batch: dominoes a step; the last step of an epoch takes what is left.
        optimizer: sgd, adam, or another of `torch.optim` in small letters; or by reference.
        lr: learning rate, before the schedule's factor.
        momentum: of SGD and others that have one; those with two decays (Adam) take it as their first, β₁.
        weight_decay: L2 penalty, as the optimiser applies it, if it does.
        measurements: points of the geometric grid of steps at which everything is measured (step 0 comes on top); auto: from 20 to 60, by
            the size of the run (`data.measuring`).
        probe: dominoes of each kind in the test probes; auto: from 200 to 1,000, by the size of the run, and no more than the test
            pictures allow. Where `measurements` is a number it is 1,000 unless it is given.
        probe_seed: seed of the probes; runs that share it are measured on the same dominoes.
        precision: float32; tf32, where the device is CUDA: products of float32 numbers rounded to ten bits; or bf16: forward passes of
            training in bfloat16, all else as with tf32. Weights are float32 in each.
        model_args: further arguments of the network's constructor (`models`).
        optimizer_args: further arguments of the optimiser (`optimizers`); they stand before lr, momentum and weight_decay.
        parameter_groups: by reference, what makes the optimiser's parameter groups of the network; None: all parameters alike.
        schedule: constant, cosine, triangular or steps (`schedules`).
        schedule_args: its arguments.
        warmup: steps in which the rate rises linearly, before the schedule begins.
        clip: largest norm of all gradients together; None: as they are.
        loss: cross-entropy, or by reference (`losses`).
        loss_args: its arguments, of cross-entropy `label_smoothing`.
        augment: what is done to the dominoes of a step, in this order: `NAME a=1 b=2` each (`augmentations`).
        input: how pixels become numbers, the same for all.
        checkpoints: at which of the measured steps the network is kept: none, last, measurements, or `0,10,100`, steps that are measured
            besides those of the grid.
        stop_loss: train loss at which training ends before its last epoch.
        measure_at_loss: train losses at whose first meeting everything is measured too, falling.
        level_kind: whose train loss those two are of: the mix of all kinds, or one kind.
        probe_permuted: measure the doubles of the probes also with one half permuted over the probe (`probe_sets`).
        probe_pairings: in how many pairings the pictures of the probes that show both halves are measured.
        decode: at which measurements the last layer is refitted for each half (`decoding`): none, the last, or all.
        probe_train: dominoes of each kind at most in the sample of training dominoes; None: as many as in the probes, and a quarter of
            that where `probe` is auto.
    """

    _later: ClassVar[frozenset[str]] = frozenset(
        {
            *("precision", "model_args", "optimizer_args", "parameter_groups", "schedule", "schedule_args", "warmup", "clip", "loss"),
            *("loss_args", "augment", "input", "checkpoints", "stop_loss", "measure_at_loss", "level_kind"),
            *("probe_permuted", "probe_pairings", "decode", "probe_train"),
        }
    )

    model: ModelName = "detector"
    epochs: Annotated[Whole, Field(ge=1, le=1_000_000)] = 5
    batch: Annotated[Whole, Field(ge=1, le=MOST)] = 64
    optimizer: OptimizerName = "sgd"
    lr: Annotated[Number, Field(gt=0)] = 0.01
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[Number, Field(ge=0)] = 0.0
    measurements: CountOrAuto = AUTO
    probe: CountOrAuto = AUTO
    probe_seed: Whole = 0
    precision: Precision = Precision.FLOAT32
    model_args: NamedArguments = Arguments()
    optimizer_args: NamedArguments = Arguments()
    parameter_groups: GroupingName | None = None
    schedule: ScheduleName = "constant"
    schedule_args: NamedArguments = Arguments()
    warmup: Annotated[Whole, Field(ge=0, le=MOST)] = 0
    clip: Annotated[Number, Field(gt=0)] | None = None
    loss: LossName = "cross-entropy"
    loss_args: NamedArguments = Arguments()
    augment: Augmentations = ()
    input: Input = Input.STANDARD
    checkpoints: Checkpoints = "none"
    stop_loss: Annotated[Number, Field(gt=0)] | None = None
    measure_at_loss: LossLevels = ()
    level_kind: Literal["mix", "top", "bottom", "both", "empty"] = "mix"
    probe_permuted: bool = False
    probe_pairings: Annotated[Whole, Field(ge=1, le=1000)] = 1
    decode: Decode = Decode.NONE
    probe_train: Annotated[Whole, Field(ge=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _usual_probe(cls, values: Any) -> Any:
        """Specs that say how often to measure and not on how many are older than `auto`, and mean what they did."""
        if isinstance(values, dict) and values.get("measurements", AUTO) not in ("auto", AUTO) and "probe" not in values:
            return values | {"probe": 1000}
        return values

    @property
    def checkpoint_steps(self) -> frozenset[int]:
        """Steps that are asked for by number."""
        return frozenset(map(int, self.checkpoints.split(",")) if self.checkpoints[0].isdigit() else ())

    def named(self) -> tuple[tuple[str, str], ...]:
        """(kind of the registry, name) of all that it names."""
        found = [("models", self.model), ("optimizers", self.optimizer), ("schedules", self.schedule), ("losses", self.loss)]
        found += [("parameter_groups", self.parameter_groups)] if self.parameter_groups else []
        return (*found, *(("augmentations", arguments.called(text)[0]) for text in self.augment))


class RunSpec(_Spec):
    """One training: dataset, training, seed (of initialisation and order). Its id names its folder."""

    dataset: DominoSpec
    train: TrainSpec
    seed: Whole = 0

    def named(self) -> tuple[tuple[str, str], ...]:
        """(kind of the registry, name) of all that it names."""
        return (*self.dataset.named(), *self.train.named())


Spec = TypeVar("Spec", bound=BaseModel)


def stream(seed: int, *names: str) -> int:
    """A 63-bit seed for the random stream of that name, so that no two uses of one seed share random numbers."""
    digest = hashlib.sha256("/".join((str(seed), *names)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def parse(form: type[Spec], values: Mapping[str, Any], *, where: str = "", record: bool = False) -> Spec:
    """Check `values` and return the frozen spec; of a `record`, what it names need not be there.

    Raises SpecError that names the first wrong field, its value and its range.
    """
    try:
        return form.model_validate(dict(values), context={"recorded": record})
    except ValidationError as error:
        problem = error.errors()[0]
        raise SpecError((f"{where}: " if where else "") + _sentence(form, dict(problem))) from error


def recorded(text: str) -> RunSpec:
    """A run's spec from the JSON of its record: what it names need not be there to read it. Raises ValueError."""
    return RunSpec.model_validate_json(text, context={"recorded": True})


# How pydantic says that a list is too short or too long.
_AT_LEAST = re.compile(r"\w+ should have at (least|most) (\d+) items? after validation, not \d+")


def _sentence(form: type[BaseModel], problem: dict[str, Any]) -> str:
    path = [str(part) for part in problem["loc"] if not str(part).startswith("function-")]
    for part in path[:-1]:
        inner = form.model_fields[part].annotation if part in form.model_fields else None
        form = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else form
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path[-1], form.model_fields, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the fields are {', '.join(form.model_fields)}"
        return f"there is no field {'.'.join(path)}; {hint}"
    name = ".".join(path)
    if len(path) > 1 and path[-2].endswith("_transform"):
        name = ".".join(path[:-1])
    if len(path) > 1 and path[-2] in ("prevalence", "reliability") and path[-1] in "01":
        name = f"{'.'.join(path[:-1])} of the {SIDES[int(path[-1])]} half"
    expected = problem["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    expected = _AT_LEAST.sub(r"expected at \1 \2", expected)
    if problem["type"] == "missing":
        return f"{name}: expected a value, got none"
    if path[-1] in ("prevalence", "reliability"):
        expected = "expected two numbers, TOP BOTTOM"
    got = problem["input"]
    return f"{name}: {expected}, got {brief(got if isinstance(got, int | float) else repr(got), 80)}"


def dump(spec: _Spec) -> str:
    """The spec as YAML, fields in their own order; `mappings.read_mapping` and `parse` give it back."""
    return yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, default_flow_style=None)
