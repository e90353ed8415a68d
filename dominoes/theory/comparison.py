"""Does the pattern-learning model predict the curves of one group of runs?

The model (Davies, Langosco & Krueger 2023, arXiv 2303.06173): pattern i fires with probability p_i(t),
independently of the others; accuracy is the probability that something fires, plus guessing among K classes. With p = 1 − e K / (K − 1)
read off the one-sided curves (e = 1 − accuracy), it predicts the doubles, the conflicts and the losses with no free parameter. Here each
of these predictions is judged, beside the rivals that a researcher would think of. Tables in, tables out: no torch, no files.

What the intervals hold: the spread of seeds (`intervals.SeedSpread`), and the part of the sampling of pictures that all seeds share.
All probes show the same pictures (the i-th double is the i-th top picture above the i-th bottom picture), so how hard the pictures are
cancels between the kinds; what remains is that hard tops may happen to be paired with hard bottoms (`luck.pairing_error`, an upper
bound). More seeds do not shrink that, more pictures do; where answers are crossed picture by picture (joint.csv) it is seen and taken off
(`cells.Chance`). Guesses, and everything else that differs between runs, are in the spread of seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dominoes.errors import BroughtError, CurvesError
from dominoes.tables import dealt_anew, swept
from dominoes.theory import brought, verdicts
from dominoes.theory.intervals import CANNOT_TELL
from dominoes.theory.questions.conflicts import conflicts
from dominoes.theory.questions.doubles import doubles
from dominoes.theory.questions.losses import losses
from dominoes.theory.questions.one_sided import empties, held_out_time, monotonicity
from dominoes.theory.questions.order import order
from dominoes.theory.questions.pictures import pictures
from dominoes.theory.questions.reliability import reliability
from dominoes.theory.rules import RULES
from dominoes.theory.run_arrays import RunArrays, arrays
from dominoes.theory.verdicts import Answer, Comparison, Margins, Options, gathered

QUESTIONS = ("learned first", "doubles", "conflicts", "pictures", "empties", "loss", "held-out time", "monotonicity", "reliability")


def compare(
    curves: pd.DataFrame,
    classes: pd.DataFrame | None = None,
    *,
    joint: pd.DataFrame | None = None,
    classes_count: int | None = None,
    level: float = 0.95,
    margins: Margins | None = None,
    questions: Sequence[str] = QUESTIONS,
    rules: Sequence[str] = (),
    group: str = "",
) -> Comparison:
    """Judge the pattern-learning model (arXiv 2303.06173) and its rivals on runs of one spec that differ by seed.

    Doubles e_both = K/(K−1) e_top e_bottom; conflicts P(neither) = (K−2)/K (1−p_t)(1−p_b) and a constant preference λ; empties 1/K and
    ln K; losses L_both = L_top L_bottom / ln K; one-sided curves that one pattern p(t) = γ / (1 + exp(−α (t − b))) continues, and that
    never fall. Doubles and conflicts are judged in three windows (`windows`).

    Args:
        curves: columns of curves.csv. Rows that break the contract are mended or left out, each with a note. Further columns that are
            read: `deal_seed` (of each run's deal; without it all seeds are taken to share one deal, and sentences say so),
            `reliability_top` and `reliability_bottom`.
        classes: columns of classes.csv; without it nothing is judged per class.
        joint: columns of joint.csv (run,step,probe,top_alone,bottom_alone,answer,n); without it nothing is judged picture by picture.
        classes_count: K. None: the number of labels in `classes`, else 10 with a note.
        level: of the intervals.
        margins: what counts as agreement.
        questions: some of QUESTIONS, and names of others (`brought`).
        rules: names of rules (`brought`) that are set against the built-in ones too.
        group: a name for the runs; it goes into the column `group`.

    Returns a Comparison. A question that the curves cannot answer has one row that says why, `not applicable` or `cannot tell`. The same
    input gives the same output: nothing is drawn at random.

    Raises CurvesError: nothing to compare at all, an option out of range, or runs that differ by more than the seed.
    """
    verdicts.refuse_text(questions=questions, rules=rules)
    further = [name for name in questions if name not in QUESTIONS and brought.is_brought_question(name)]
    unknown = [question for question in questions if question not in (*QUESTIONS, *further)]
    if unknown:
        raise CurvesError(f"question {', '.join(unknown)} is not known; expected some of {', '.join(QUESTIONS)}")
    different = swept(curves)
    if different:
        names = ", ".join(different)
        raise CurvesError(f"the runs differ in {names}; expected runs of one spec: compare each group alone, or compare a sweep")
    known = RULES | brought.rules(rules)
    options = Options(margins or Margins(), level, dealt_anew(curves), known)
    data = arrays(curves, classes, classes_count=classes_count, joint=joint)
    asked = [question for question in QUESTIONS if question in questions and (question != "pictures" or joint is not None)]
    answers = [*(_ANSWERS[question] for question in asked), *map(brought.question, further)]
    answer = gathered(answer(data, options) for answer in answers)
    by_pictures = sum(row.verdict == CANNOT_TELL and row.interval.pictures > 0.5 for row in answer.verdicts)
    notes = data.notes
    if joint is None and by_pictures:
        told = f"{by_pictures} verdict{'s are' if by_pictures > 1 else ' is'} open mostly for how the test pictures happen to be paired"
        notes = (*notes, f"{told}: answers crossed picture by picture (joint.csv, which every run writes) take that luck off")
    return verdicts.comparison(answer, notes, group)


def compare_groups(
    curves: pd.DataFrame,
    classes: pd.DataFrame | None = None,
    *,
    joint: pd.DataFrame | None = None,
    by: Sequence[str] | None = None,
    classes_count: int | None = None,
    level: float = 0.95,
    margins: Margins | None = None,
    questions: Sequence[str] = QUESTIONS,
    rules: Sequence[str] = (),
) -> Comparison:
    """Judge every group of runs that agree in the columns `by` (None: all further columns that take more than one value), each alone.

    A group is named by its values, `prevalence_top=0.2 lr=0.01`; one group alone has no name. A group that cannot be compared at all is
    a note. Other arguments and errors as in `compare`.
    """
    verdicts.refuse_text(by=by, questions=questions, rules=rules)
    options: dict[str, Any] = {"level": Options(level=level).level, "margins": margins, "questions": questions, "rules": rules}
    fields = swept(curves) if by is None else list(by)
    missing = [name for name in fields if name not in curves.columns]
    if missing:
        raise CurvesError(f"the column {', '.join(missing)} is not in the curves; expected columns that set the groups apart")
    if not fields:
        groups = [("", curves)]
    else:
        # A group has its own values in `fields` only; what else differs within it is for `compare` to refuse.
        keyed = curves.groupby(fields, sort=True, dropna=False)
        groups = [(" ".join(f"{name}={_value(each)}" for name, each in zip(fields, key, strict=True)), rows) for key, rows in keyed]
    parts = []
    of_classes, of_joint = (_of_runs(each, alone=len(groups) == 1) for each in (classes, joint))
    for name, rows in groups:
        own, crossed = of_classes(rows), of_joint(rows)
        try:
            part = compare(rows, own, joint=crossed, classes_count=classes_count, group=name, **options)
        except CurvesError as error:
            # What a user brings is at fault in all groups, and takes none from the built-in rules.
            if not name or isinstance(error, BroughtError):
                raise
            part = verdicts.comparison(Answer(()), [f"not compared: {error}"])
        prefix = f"[{name}] " if name else ""
        parts.append(Comparison(part.table, part.bands, tuple(prefix + note for note in part.notes)))
    found = verdicts.join_comparisons(parts)
    if not len(found.table):
        why = found.notes[0] if found.notes else "there are no curves of them"
        raise CurvesError(f"no group of runs can be compared; {why}")
    return found


def _of_runs(table: pd.DataFrame | None, *, alone: bool) -> Callable[[pd.DataFrame], pd.DataFrame | None]:
    """What picks the rows of a table that are of the runs of others. All of them where it has none of these, for its labels still tell K,
    or where either does not name its runs; then, unless one group is `alone`, without the seeds, which several groups may share."""
    if table is None:
        return lambda rows: None
    unknown = table if alone else table.drop(columns="seed", errors="ignore").assign(run="")
    if "run" not in table.columns:
        return lambda rows: unknown
    places = table.groupby("run", sort=False, observed=True).indices

    def chosen(rows: pd.DataFrame) -> pd.DataFrame:
        if "run" not in rows.columns:
            return unknown
        found = [places[run] for run in rows["run"].unique() if run in places]
        return table.iloc[np.sort(np.concatenate(found))] if found else table

    return chosen


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


_ANSWERS: dict[str, Callable[[RunArrays, Options], Answer]] = {
    "learned first": order,
    "doubles": doubles,
    "conflicts": conflicts,
    "pictures": pictures,
    "empties": empties,
    "loss": losses,
    "held-out time": held_out_time,
    "monotonicity": monotonicity,
    "reliability": reliability,
}
