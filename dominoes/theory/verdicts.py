"""The margins that make a verdict, and the table that verdicts are kept in.

A verdict compares an interval with a range that was stated beforehand: `holds` if the whole interval lies within the range, `fails` if
it lies wholly outside, else `cannot tell`. Thus a theory is never confirmed by the absence of evidence, and never rejected for a
difference that is real but too small to matter. Where there is nothing to judge (nothing swept, a kind without probes, a pattern that
is never learned) the word is `not applicable`. Each row is one statistic of one window of training, so that no verdict is picked from
many steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import pandas as pd

from dominoes.arrays import FloatArray
from dominoes.errors import CurvesError, brief
from dominoes.theory.headlines import headline_sentences
from dominoes.theory.intervals import CANNOT_TELL, FAILS, HOLDS, NOT_APPLICABLE, VERDICTS, BoolArray, Interval, SeedSpread, number
from dominoes.theory.rules import RULES, Rule

#: What is said of deals behind a number of seeds, by `Options.deals`.
OF_DEALS = {True: ", each with its own deal", False: " of this deal", None: " of several deals"}
COMPARISON = (
    "group", "question", "side", "model", "rival", "window", "quantity", "estimate", "low", "high", "expected", "at_least", "at_most",
    "level", "n_seeds", "n", "deviance", "rmse", "verdict", "sentence",
)  # fmt: skip
BANDS = ("group", "question", "side", "model", "quantity", "step", "estimate", "low", "high", "expected", "used")


@dataclass(frozen=True)
class Margins:
    """How large a deviation from the theory still counts as none; stated before the data are seen.

    Attributes:
        ratio: a measured error or loss may be this many times larger or smaller than predicted. The rivals of the product rule
            lie beyond: at error ½ on both sides, addition of evidence predicts 0.36 of its error, the better side alone 1.8 of it.
        onset: an onset may be this many times earlier or later at one end of a sweep than at the other.
        preference: distance of λ from ½, 1 or 0 (which lie ½ apart), or from what a rule predicts.
        drift: change of λ, along a straight line in log time, over the steps compared.
        learned: change of an accuracy or loss across a sweep, as a share of what is learned.
        reading: distance of a loss from one reading of it, in units of the distance between the two readings.
        accuracy: share, for empties, for drops of one-sided curves and for the collapse of curves over a sweep.
        loss: nats, for empties and for rises of one-sided losses.
        exponent: distance of a power law's exponent from the one predicted.
        known: the rules are looked at where p_top · p_bottom is larger than this.
        together: λ is looked at where p_top · p_bottom is larger than this: it is divided by that product, and noise where it is small.
    """

    ratio: float = 1.25
    onset: float = 1.2
    preference: float = 0.2
    drift: float = 0.25
    reading: float = 0.25
    accuracy: float = 0.03
    loss: float = 0.1
    learned: float = 0.1
    exponent: float = 0.2
    known: float = 0.05
    together: float = 0.2

    def __post_init__(self) -> None:
        for name in ("ratio", "onset"):
            if getattr(self, name) <= 1:
                raise CurvesError(f"margin {name} is {getattr(self, name):g}; expected a factor above 1, such as 1.25")
        for name in ("preference", "drift", "reading", "accuracy", "loss", "learned", "exponent", "known", "together"):
            if not getattr(self, name) > 0:
                raise CurvesError(f"margin {name} is {getattr(self, name):g}; expected a number above 0")

    def factor(self) -> tuple[float, float]:
        """The range of ratios that counts as 1."""
        return 1 / self.ratio, self.ratio

    def onsets(self) -> tuple[float, float]:
        """The range of ratios of onsets that counts as 1."""
        return 1 / self.onset, self.onset


@dataclass(frozen=True)
class Verdict:
    """One row of the comparison; its fields are the columns COMPARISON, described under Comparison."""

    question: str
    quantity: str
    interval: Interval
    at_least: float
    at_most: float
    level: float
    n_seeds: int
    sentence: str
    verdict: str
    side: str = ""
    model: str = ""
    rival: str = ""
    window: str = ""
    expected: float = math.nan
    n: float = math.nan
    deviance: float = math.nan
    rmse: float = math.nan

    def row(self, group: str) -> dict[str, object]:
        """The row under the names of COMPARISON."""
        values: dict[str, object] = {field.name: getattr(self, field.name) for field in fields(self)} | {"group": group}
        values |= dict(zip(("estimate", "low", "high"), self.interval.triple, strict=True))
        return {name: values[name] for name in COMPARISON}


@dataclass(frozen=True)
class Answer:
    """What one question brought: rows, bands over time, notes."""

    verdicts: tuple[Verdict, ...]
    bands: tuple[pd.DataFrame, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Options:
    """What every question is asked with: margins, level of the intervals, and whether every seed has a deal of its own.

    `deals` is False where all seeds were trained on one deal of the pictures: what is found is then found of this deal, and each
    sentence says so; None where there are several deals, but not one a seed. `rules` are those that are set against each other, by name.
    """

    margins: Margins = field(default_factory=Margins)
    level: float = 0.95
    deals: bool | None = False
    rules: Mapping[str, Rule] = field(default_factory=lambda: RULES)

    def __post_init__(self) -> None:
        known = isinstance(self.level, int | float | np.number)
        if not known or not 0 < self.level < 1:
            given = f"{self.level:g}" if known else brief(repr(self.level), 40)
            raise CurvesError(f"level is {given}; expected a number between 0 and 1, such as 0.95")

    def spread(self, n_seeds: int) -> SeedSpread:
        """Intervals over `n_seeds` seeds at this level."""
        return SeedSpread(n_seeds, self.level)

    def judge(
        self,
        question: str,
        claim: str,
        quantity: str,
        interval: Interval,
        within: tuple[float, float],
        n_seeds: int,
        *,
        also: str = "",
        overruled: str = "",
        side: str = "",
        model: str = "",
        rival: str = "",
        window: str = "",
        expected: float = math.nan,
        n: float = math.nan,
        deviance: float = math.nan,
        rmse: float = math.nan,
    ) -> Verdict:
        """The row of a claim: it holds if the interval of `quantity` lies within the range `within`.

        `also` is added to the sentence; `overruled` is a verdict that stands instead, where a claim needs more than its own interval.
        """
        verdict = overruled or interval.verdict(*within)
        said = [f"{claim}{f', {window}' if window else ''}: {quantity} is {self._shown(interval, within, n_seeds)}"]
        if math.isfinite(interval.low) and not math.isnan(within[0]):
            if interval.at_margin(*within) and verdict in (HOLDS, FAILS, CANNOT_TELL):
                said.append("at the margin")
            if verdict == CANNOT_TELL and not overruled:
                said.append(f"more {'probe pictures, not seeds,' if interval.pictures > 0.5 else 'seeds'} would narrow it")
        if also:
            said.append(also)
        return Verdict(
            question, quantity, interval, *within, self.level, n_seeds, "; ".join(said), verdict,
            side, model, rival, window, expected, n, deviance, rmse,
        )  # fmt: skip

    def _shown(self, interval: Interval, within: tuple[float, float], n_seeds: int) -> str:
        """The estimate with its interval, the range of agreement and what the interval is over."""
        at_least, at_most = within
        if math.isnan(at_least):
            agreement = ""
        elif math.isinf(at_most):
            agreement = f"; agreement: at least {number(at_least)}"
        elif math.isinf(at_least):
            agreement = f"; agreement: at most {number(at_most)}"
        else:
            agreement = f"; agreement: {number(at_least)} to {number(at_most)}"
        if math.isnan(interval.low):
            return f"{number(interval.estimate)} (one seed, no interval{agreement})"
        level = self.level if self.level < 0.99 else round(self.level, 4)
        bounds = f"{100 * level:g} % interval {number(interval.low)} to {number(interval.high)}"
        return f"{number(interval.estimate)} ({bounds}{agreement}; {self.over(n_seeds)})"

    def over(self, n_seeds: int) -> str:
        """What intervals are over, in words."""
        return f"{n_seeds} seeds{OF_DEALS[self.deals]}"

    def unanswered(
        self, question: str, reason: str, n_seeds: int, *, side: str = "", model: str = "", window: str = "", verdict: str = NOT_APPLICABLE
    ) -> Answer:
        """The one row of a question that the curves cannot answer: there is nothing to judge, or (`cannot tell`) too little of it."""
        nothing = Interval(math.nan, math.nan, math.nan)
        sentence = f"{question}{f' of the {side}' if side else ''}{f', {window}' if window else ''}: {reason}"
        row = Verdict(question, "none", nothing, math.nan, math.nan, self.level, n_seeds, sentence, verdict, side, model, window=window)
        return Answer((row,))


def refuse_text(**lists: object) -> None:
    """Raises CurvesError where a list of names is one text, whose letters would be taken for names."""
    for name, value in lists.items():
        if isinstance(value, str):
            raise CurvesError(f"{name} is the text '{brief(value, 40)}'; expected a list of names, such as ['{brief(value, 40)}']")


def gathered(answers: Iterable[Answer]) -> Answer:
    """Several answers as one."""
    answers = list(answers)
    return Answer(
        tuple(verdict for answer in answers for verdict in answer.verdicts),
        tuple(band for answer in answers for band in answer.bands),
        tuple(note for answer in answers for note in answer.notes),
    )


def band(
    question: str, model: str, quantity: str, steps: FloatArray, used: BoolArray, values: Sequence[FloatArray], expected: float
) -> pd.DataFrame:
    """A quantity over time: `values` are estimate, low and high, (T,) each."""
    estimate, low, high = values
    columns = {"step": steps.astype(int), "estimate": estimate, "low": low, "high": high, "expected": expected, "used": used}
    return pd.DataFrame({"question": question, "side": "", "model": model, "quantity": quantity, **columns})


@dataclass(frozen=True)
class Comparison:
    """What was found out about one group of runs, or about one sweep.

    Attributes:
        table: one row per question × side × model (or model against rival); columns COMPARISON:
            `group` name of the group of runs; `question`; `side` top, bottom or empty; `model` the claim that is judged; `rival` what
            it is compared with, empty where it is judged alone; `quantity` what `estimate`, `low`, `high` are (with unit); `expected`
            its value if the claim were exact; `at_least`, `at_most` the range that counts as agreement; `level` of the interval;
            `n_seeds` seeds used; `n` probe pictures a kind; `deviance` (binomial, per step: about 1 if the model is exact) and `rmse`
            of the model over the log time of the window; `verdict` holds, fails, cannot tell or not applicable; `sentence` the verdict
            in words. `window` is early, rise or late (`windows`), empty where a row is of the whole of training.
        bands: the same quantities over time with pointwise intervals, for figures; columns BANDS; `used` marks the steps that entered
            the verdict.
        notes: everything that was missing, repaired or left out, one sentence each.
    """

    table: pd.DataFrame
    bands: pd.DataFrame
    notes: tuple[str, ...] = field(default=())

    def headlines(self) -> list[str]:
        """What was found, in five lines for a person (`headlines.headline_sentences`)."""
        return headline_sentences(self.table)

    def lines(self) -> list[str]:
        """Everything for a person: the headlines, the verdicts, one line each, in the order of the questions, the notes last."""
        rows = self.table[["group", "verdict", "sentence"]].itertuples(index=False)
        shown = [f"{verdict:<15}{f'[{group}] ' if group else ''}{sentence}" for group, verdict, sentence in rows]
        return [*self.headlines(), *shown, *self.noted()]

    def noted(self) -> list[str]:
        """The notes, one line each."""
        return [f"{'note':<15}{note}" for note in self.notes]

    def counted(self) -> str:
        """How many verdicts there are of each word."""
        counts = self.table["verdict"].value_counts()
        return ", ".join(f"{counts.get(verdict, 0)} {verdict}" for verdict in VERDICTS)

    def as_json(self) -> dict[str, object]:
        """`headlines`, `verdicts` (a list of rows) and `notes`, ready for json.dumps: what is not a finite number (no interval, an open
        end) is None."""
        rows = self.table.astype(object).to_dict("records")

        def plain(value: object) -> object:
            return None if isinstance(value, float) and not math.isfinite(value) else value

        found = [{str(name): plain(value) for name, value in row.items()} for row in rows]
        return {"headlines": self.headlines(), "verdicts": found, "notes": list(self.notes)}


def comparison(answer: Answer, notes: Iterable[str] = (), group: str = "") -> Comparison:
    """An answer as tables, its notes after `notes` and each of them once."""
    table = pd.DataFrame([verdict.row(group) for verdict in answer.verdicts], columns=list(COMPARISON))
    frames = [each.assign(group=group).reindex(columns=list(BANDS)) for each in answer.bands]
    bands = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(BANDS))
    return Comparison(table, bands, tuple(dict.fromkeys([*notes, *answer.notes])))


def join_comparisons(parts: Iterable[Comparison]) -> Comparison:
    """One Comparison of several, rows in the order given, each note once."""
    parts = list(parts)
    tables = [part.table for part in parts if len(part.table)]
    bands = [part.bands for part in parts if len(part.bands)]
    return Comparison(
        pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COMPARISON)),
        pd.concat(bands, ignore_index=True) if bands else pd.DataFrame(columns=list(BANDS)),
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )
