"""Contrasts: what a study asks beyond its points, as weighted sums of the numbers that each replicate comes to.

Stated before the study is run, in contrasts.yaml of its folder:

    interaction on the late accuracy of the bottom:
      margin: 0.03
      terms:
        - {point: "prevalence_top 0.7, both 0.25", quantity: late accuracy bottom, weight: 1}
        - {point: "prevalence_top 0.7, both 0.05", quantity: late accuracy bottom, weight: -1}
        - ...
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dominoes.errors import SpecError, brief
from dominoes.studies.quantities import CONTRASTS, DIFFERENCE, GAPS, HEADLINE_COLUMNS, LATE, MARGINS, ONSETS, RATIO
from dominoes.theory.intervals import Interval, SeedSpread

CONTRASTS_FILE = "contrasts.yaml"
_LEVEL = 0.95


class Term(BaseModel):
    """A quantity at a point of the sweep, and how it is weighted.

    Attributes:
        point: as headlines.csv names it. quantity: a key of `quantities.MARGINS`. weight: how often it counts, of either sign.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    point: str
    quantity: str
    weight: float


class Contrast(BaseModel):
    """A weighted sum over points and quantities, taken in every replicate (the runs of all points that share a seed).

    Attributes:
        terms: of accuracies and shares, or of onsets; onsets are taken as logarithms, so that a contrast of weights 1 and −1 is a ratio.
        margin: what counts as none: a difference, or of onsets a factor above 1. None: it is estimated, not judged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    terms: Annotated[tuple[Term, ...], Field(min_length=1)]
    margin: float | None = None

    @property
    def scale(self) -> str:
        """RATIO for onsets, else DIFFERENCE."""
        return RATIO if self.terms[0].quantity in ONSETS else DIFFERENCE


def read_contrasts(folder: Path) -> dict[str, Contrast]:
    """The contrasts by name that contrasts.yaml of a study's folder states; none without such a file.

    Raises SpecError: it is not YAML of contrasts, there is no such quantity, onsets and accuracies are mixed, a margin is none.
    """
    path = folder / CONTRASTS_FILE
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SpecError(f"{path} cannot be read ({brief(error)}); expected YAML: contrasts by name") from error
    if not isinstance(content, dict):
        raise SpecError(f"{path} holds {type(content).__name__}; expected contrasts by name, each with its terms")
    return {str(name): _contrast(path, str(name), given) for name, given in content.items()}


def _contrast(path: Path, name: str, given: Any) -> Contrast:
    try:
        found = Contrast.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "it"
        raise SpecError(
            f"{path}: {name}: {field}: {first['msg']}; expected terms of a point, a quantity and a weight, and a margin"
        ) from error
    quantities = {term.quantity for term in found.terms}
    unknown = sorted(quantities - MARGINS.keys())
    if unknown:
        raise SpecError(f"{path}: {name}: there is no quantity {unknown[0]}; expected one of {', '.join(MARGINS)}")
    if quantities & set(ONSETS) and quantities & {*LATE, *GAPS}:
        raise SpecError(f"{path}: {name}: onsets and accuracies in one contrast; onsets are compared by ratio, accuracies by difference")
    if found.margin is not None and not found.margin > (1 if found.scale == RATIO else 0):
        least = "a factor above 1" if found.scale == RATIO else "a number above 0"
        raise SpecError(f"{path}: {name}: margin is {found.margin:g}; expected {least}")
    return found


def of_contrasts(runs: pd.DataFrame, contrasts: Mapping[str, Contrast]) -> pd.DataFrame:
    """Estimates of contrasts with Student's 95 % interval over replicates; columns HEADLINE_COLUMNS, part `contrast`.

    Args:
        runs: of `headline_numbers.of_runs`.
        contrasts: by name.

    A replicate counts where every run that a contrast needs is there, and learned what an onset is of; `n_runs` is their number. Where
    points are missing altogether, as in a study that is run in part, the estimate is NaN.
    """
    values = runs.pivot_table(index="seed", columns=["point", "quantity"], values="value", aggfunc="mean")
    rows = []
    for name, contrast in contrasts.items():
        timed = contrast.scale == RATIO
        total = np.zeros(len(values))
        for term in contrast.terms:
            key = (term.point, term.quantity)
            found = values[key].to_numpy(float) if key in values.columns else np.full(len(values), math.nan)
            total = total + term.weight * (np.log(found) if timed else found)
        known = total[np.isfinite(total)]
        interval = SeedSpread(len(known), _LEVEL).mean(known) if len(known) else Interval(math.nan, math.nan, math.nan)
        interval = interval.exp() if timed else interval
        margin = math.nan if contrast.margin is None else contrast.margin
        rows.append((CONTRASTS, "", name, *interval.triple, RATIO if timed else DIFFERENCE, margin, len(known)))
    return pd.DataFrame(rows, columns=list(HEADLINE_COLUMNS))
