"""How the learning curves move across a sweep: laws, competition, and points that were left out.

Each side's one-sided test curve has an onset (in samples seen), a speed and a ceiling (`curve.fit_curve`, logistic in log time).
These are compared within groups of points that differ in one field only, each replicate for itself (see `sweep_curves`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pandas as pd

from dominoes.errors import CurvesError
from dominoes.tables import swept, telling
from dominoes.theory import verdicts
from dominoes.theory.comparison import compare_groups
from dominoes.theory.questions import simplicity as yardsticks_of
from dominoes.theory.questions.competition import competition, reliabilities, rescaling
from dominoes.theory.questions.laws import held_out_points, laws
from dominoes.theory.questions.simplicity import yardsticks
from dominoes.theory.sweep_curves import SweepCurves, arranged
from dominoes.theory.verdicts import Answer, Comparison, Margins, Options, gathered

SWEEP_QUESTIONS = ("laws", "rescaling", "no competition", "held-out point", "reliability")


def compare_sweep(
    curves: pd.DataFrame,
    classes: pd.DataFrame | None = None,
    *,
    by: Sequence[str] | None = None,
    classes_count: int | None = None,
    level: float = 0.95,
    margins: Margins | None = None,
    questions: Sequence[str] = SWEEP_QUESTIONS,
    simplicity: pd.DataFrame | None = None,
    group: str = "",
) -> Comparison:
    """Judge how the curves of the two sides move across a sweep.

    In the pattern-learning model (arXiv 2303.06173) a side's p(t) depends on its own pattern alone: not on how
    prevalent the other is (no competition), and on its own prevalence, if learning takes a number of its own examples, through
    prevalence × samples.

    Args:
        curves: columns of curves.csv, and further columns that hold the swept parameters (`prevalence_top`, `prevalence_bottom`, `both`,
            ...) and the seed of each run's deal (`deal_seed`). Only test curves of kind `top` and `bottom` are used.
        classes: only the number of labels is read from it.
        by: the columns that are swept. None: all further columns that take more than one value.
        classes_count, level, margins, group: as in `comparison.compare`.
        questions: some of SWEEP_QUESTIONS.
        simplicity: columns of simplicity.csv, or of `simplicity.of_coefficients`. Where runs differ in a side's source or transforms, it
            is asked in addition whether that side's onset follows its measured code length, learning time or learning coefficient, by
            which law, and whether the other side's curve depends on it.

    Raises CurvesError: nothing is swept, a column of `by` is missing, there are no one-sided test curves, a setting of the sweep is not in
    `simplicity`, or an option is out of range.
    """
    verdicts.refuse_text(by=by, questions=questions)
    unknown = [question for question in questions if question not in SWEEP_QUESTIONS]
    if unknown:
        raise CurvesError(f"question {', '.join(unknown)} is not known; expected some of {', '.join(SWEEP_QUESTIONS)}")
    data = arranged(curves, classes, by=by, classes_count=classes_count)
    options = Options(margins or Margins(), level, data.deals)
    answers: dict[str, Callable[[SweepCurves, Options], Answer]] = {
        "laws": laws,
        "rescaling": rescaling,
        "no competition": competition,
        "held-out point": held_out_points,
        "reliability": reliabilities,
    }
    found = [answers[question](data, options) for question in SWEEP_QUESTIONS if question in questions]
    notes = data.notes
    if simplicity is not None:
        for yardstick in yardsticks_of.yardsticks_in(simplicity):
            measured = yardsticks_of.with_yardstick(data, curves, simplicity, yardstick)
            found.append(yardsticks(measured, options, yardstick))
            notes += tuple(note for note in measured.notes if note not in notes)
    return verdicts.comparison(gathered(found), notes, group)


def of_points(
    curves: pd.DataFrame,
    classes: pd.DataFrame | None,
    by: Sequence[str] | None = None,
    level: float = 0.95,
    *,
    joint: pd.DataFrame | None = None,
    classes_count: int | None = None,
) -> list[Comparison]:
    """What a sweep's points are asked each alone, for its headlines, without bands and notes; none where no point can be compared.

    `joint` is the table of answers crossed picture by picture, which take the luck of the pairing off; `classes_count` is K, None: that of
    the table of classes, else 10.
    """
    questions = ("learned first", "doubles", "conflicts", "reliability")
    try:
        fields = by or telling(curves[swept(curves)].drop_duplicates())
        found = compare_groups(curves, classes, joint=joint, by=fields, level=level, questions=questions, classes_count=classes_count)
    except (CurvesError, ValueError):
        return []
    return [dataclasses.replace(found, notes=(), bands=found.bands.iloc[:0])]
