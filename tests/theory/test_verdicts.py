"""Intervals over few seeds cover as often as they say; verdicts follow from intervals and stated ranges alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dominoes.theory.intervals import CANNOT_TELL, FAILS, HOLDS, NOT_APPLICABLE, Interval, number
from dominoes.theory.verdicts import BANDS, COMPARISON, Answer, Options, comparison, gathered, join_comparisons


@pytest.mark.parametrize("n_seeds", [2, 3, 5, 8])
def test_intervals_cover_at_any_number_of_seeds(n_seeds: int) -> None:
    """The 95 % interval of a mean over 2, 3, 5 or 8 seeds covers the truth in 92.5 to 97.5 % of 1,000 simulations."""
    over = Options().spread(n_seeds)
    generator = np.random.default_rng(1)
    found = [over.mean(values) for values in generator.normal(size=(1000, n_seeds))]
    assert 0.925 <= np.mean([each.low <= 0 <= each.high for each in found]) <= 0.975


def test_the_interval_of_a_mean_is_students() -> None:
    """For a mean over seeds the jackknife is Student's t interval, to the digit."""
    values = np.random.default_rng(2).normal(size=6)
    found = Options().spread(6).mean(values)
    low, high = stats.t.interval(0.95, 5, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_the_interval_of_a_ratio_is_the_delta_methods() -> None:
    """For a log ratio of means of many seeds the jackknife is the delta method: the spread of a_s/mean a − b_s/mean b."""
    generator = np.random.default_rng(4)
    above, below = 2 + 0.1 * generator.normal(size=(2, 200))
    found = Options().spread(200).log_ratio(above, below)
    error = (above / above.mean() - below / below.mean()).std(ddof=1) / math.sqrt(200)
    assert (found.high - found.low) / 2 / stats.t.ppf(0.975, 199) == pytest.approx(error, rel=0.01)


def test_a_known_error_of_the_pictures_widens_the_interval() -> None:
    """The error that all seeds share is added: an interval over identical seeds is ± 1.96 of it."""
    found = Options().spread(4).mean(np.ones(4), pictures=0.1)
    assert (found.low, found.high) == pytest.approx((1 - 0.196, 1 + 0.196), abs=1e-3)


def test_the_interval_of_counts_ends_where_poissons_score_interval_does() -> None:
    """Away from 0 it ends where μ − x = z √μ, so that it lies below a Poisson mean of 8 in less than 3 %, and x ± z √x in more; towards 0,
    and of 0 itself, nothing changes; the other sign is the mirror image, and one seed has no interval."""
    z = stats.norm.ppf(0.975)

    def of(count: float) -> Interval:
        return Interval(count, count - z * math.sqrt(count), count + z * math.sqrt(count)).of_counts()

    high = of(12.0).high
    assert high - 12 == pytest.approx(z * math.sqrt(high))
    assert of(12.0).low == pytest.approx(12 - z * math.sqrt(12))
    mirrored = Interval(-12.0, -12 - z * math.sqrt(12), -12 + z * math.sqrt(12)).of_counts()
    assert (mirrored.low, mirrored.high) == pytest.approx((-high, -of(12.0).low))
    counts = np.random.default_rng(5).poisson(8, size=4000)
    above = np.mean([of(float(count)).high < 8 for count in counts])
    assert above == pytest.approx(stats.poisson.cdf(max(count for count in range(8) if of(count).high < 8), 8), abs=0.01)
    assert above < 0.03 < np.mean(counts + z * np.sqrt(counts) < 8)
    assert of(0.0).triple == (0.0, 0.0, 0.0)
    assert math.isnan(Interval(1.0, math.nan, math.nan).of_counts().high)


def test_comparisons_are_paired() -> None:
    """What all seeds share cancels in a ratio: seeds that differ a thousandfold in both parts have a narrow interval."""
    scale = np.array([1.0, 10.0, 100.0, 1000.0])
    found = Options().spread(4).log_ratio(1.1 * scale, scale).exp()
    assert found.estimate == pytest.approx(1.1)
    assert found.high - found.low < 1e-6


@given(low=st.floats(-2, 2), width=st.floats(0, 2))
def test_a_verdict_is_the_place_of_the_interval(low: float, width: float) -> None:
    """Wholly inside holds, wholly outside fails, and across an end cannot tell."""
    interval = Interval(low + width / 2, low, low + width)
    verdict = interval.verdict(-0.5, 0.5)
    if low >= -0.5 and low + width <= 0.5:
        assert verdict == HOLDS
    elif low > 0.5 or low + width < -0.5:
        assert verdict == FAILS
    else:
        assert verdict == CANNOT_TELL


def test_no_interval_is_no_verdict() -> None:
    """One seed has an estimate, no interval and no verdict, however good the estimate."""
    found = Options().spread(1).mean(np.array([1.0]))
    assert found.estimate == 1.0
    assert math.isnan(found.low)
    assert math.isnan(found.exp().high)
    assert found.verdict(0.9, 1.1) == CANNOT_TELL


def test_intervals_too_wide_for_floats_stay_finite() -> None:
    """Two seeds far apart give an interval that is enormous and still a number."""
    found = Interval(0.0, -1e4, 1e4).exp()
    assert 0 < found.low < 1e-20
    assert 1e20 < found.high < math.inf


def test_answers_are_gathered_and_tables_joined_in_order() -> None:
    """Rows keep their order, notes are kept once, and nothing at all is an empty table with the right columns."""
    options = Options()
    parts = [options.unanswered("a", "no rows", 3), options.unanswered("b", "no rows", 3, side="top")]
    parts = [Answer(part.verdicts, (), ("twice",)) for part in parts]
    one = comparison(gathered(parts), ["first"], "g")
    assert list(one.table["question"]) == ["a", "b"]
    assert one.notes == ("first", "twice")
    assert one.lines()[5:] == [
        "not applicable [g] a: no rows",
        "not applicable [g] b of the top: no rows",
        "note           first",
        "note           twice",
    ]
    both = join_comparisons([one, comparison(gathered(parts[:1]), ["first"], "h")])
    assert list(both.table["group"]) == ["g", "g", "h"]
    assert both.notes == ("first", "twice")
    nothing = join_comparisons([])
    assert tuple(nothing.table.columns) == COMPARISON
    assert tuple(nothing.bands.columns) == BANDS


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (1.0, "1.00"), (0.12345, "0.123"), (-12.345, "-12.3"), (123456.0, "123456"), (1e-7, "1.00e-07")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    """Numbers for people: three significant digits, exponents only where there is no other way."""
    assert number(value) == text


def test_a_bound_near_its_margin_is_said_to_be() -> None:
    """Within 2 % of the margin the sentence says `at the margin`; further off it does not; the verdict is what it is."""
    options = Options()
    near = options.judge("q", "claim", "ratio", Interval(1.12, 1.0067, 1.24978), (0.8, 1.25), 5)
    assert near.verdict == HOLDS
    assert "; at the margin" in near.sentence
    far = options.judge("q", "claim", "ratio", Interval(1.1, 1.0, 1.2), (0.8, 1.25), 5)
    assert "margin" not in far.sentence
    assert options.judge("q", "claim", "difference", Interval(1.0, 0.01, 2.0), (0.0, math.inf), 5).sentence.count("at the margin") == 1


def test_what_would_narrow_an_interval_is_named() -> None:
    """Where nothing can be told the sentence says whether seeds or pictures make the interval wide; where it can, it says neither."""
    options = Options()
    values = np.array([1.0, 1.4, 0.9, 1.3])
    by_seeds = options.judge("q", "claim", "mean", options.spread(4).mean(values), (0.9, 1.3), 4)
    assert (by_seeds.verdict, "more seeds would narrow it" in by_seeds.sentence) == (CANNOT_TELL, True)
    by_pictures = options.judge("q", "claim", "mean", options.spread(4).mean(np.ones(4), pictures=1.0), (0.9, 1.3), 4)
    assert "more probe pictures, not seeds, would narrow it" in by_pictures.sentence
    assert "narrow" not in options.judge("q", "claim", "mean", options.spread(4).mean(values), (-9.0, 9.0), 4).sentence


@pytest.mark.parametrize(("deals", "words"), [(False, "4 seeds of this deal"), (True, "4 seeds, each with its own deal")])
def test_sentences_say_what_the_interval_is_over(deals: bool, words: str) -> None:
    """Seeds of one deal, or seeds with a deal each."""
    options = Options(deals=deals)
    assert words in options.judge("q", "claim", "mean", options.spread(4).mean(np.arange(4.0)), (-9.0, 9.0), 4).sentence


def test_nothing_to_judge_is_not_applicable() -> None:
    """The fourth word: a question without anything to judge is neither held nor open."""
    row = Options().unanswered("a", "nothing was swept", 3).verdicts[0]
    assert row.verdict == NOT_APPLICABLE
