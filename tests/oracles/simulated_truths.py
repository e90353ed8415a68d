"""Learning curves of networks that are known to follow a rule: what the comparator has to find out.

Independent of the code it judges: every probe picture is answered, one by one, and the answers are counted. Pictures differ in how
early they are learned; seeds agree on that in part (all seeds see the same pictures); a double is two of these pictures, so that the
kinds share their luck as real probes do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import ndtr
from scipy.stats import norm


@dataclass(frozen=True)
class Truth:
    """How the simulated networks work.

    Attributes:
        rule: `product` (patterns fire independently; what fires is answered), `addition` (logits add; answers are drawn from their
            softmax), `better` (a double is answered by the side that fires more often) or `gaussian` (each half gives noisy evidence, and
            the largest weighted sum is answered).
        preference: probability that the top answers where both fire, as a function of log time from 0 to 1, given by its ends.
        loss: `sure` (0 if a right pattern fires, ln K if none fires) or `calibrated` (as sure as it is right on the kind, at the step).
        onset, speed, ceiling: of the two sides: p(t) = ceiling / (1 + (t / onset)^−speed).
        class_spread: standard deviation, in log onset, of the difficulty of a class, the same for both halves.
        seed_spread: standard deviation, in log onset, between seeds (each side its own).
        agreement: correlation between seeds of which pictures are learned early.
        correlation: between the two halves of a double, of how early they are learned: probes that are not paired at random.
        together: correlation of the firing of the two patterns on one domino, beyond what its pictures say alone: halves are paired at
            random, and of those that fire alone the bottom's do so on a domino as far as the top's does.
        settled: which of two patterns that both fire wins is settled by the picture, the same for every seed.
        late: doubles are wrong so many times as often as the product rule says, once the pair has risen by four fifths.
    """

    rule: str = "product"
    preference: tuple[float, float] = (0.5, 0.5)
    loss: str = "sure"
    onset: tuple[float, float] = (30.0, 300.0)
    speed: tuple[float, float] = (1.5, 1.0)
    ceiling: tuple[float, float] = (0.97, 0.75)
    class_spread: float = 0.0
    seed_spread: float = 0.15
    agreement: float = 0.6
    correlation: float = 0.0
    together: float = 0.0
    settled: bool = False
    late: float = 1.0
    dip: float = 0.0
    n: int = 1000
    last: int = 4300
    points: int = 60
    K: int = 10


def steps(truth: Truth) -> np.ndarray:
    """0 and `points` − 1 (or a few fewer) steps, geometric, whole."""
    return np.unique(np.r_[0, np.round(np.geomspace(1, truth.last, truth.points - 1))]).astype(int)


KINDS = ("top", "bottom", "both", "conflict", "empty")


def curves(
    truth: Truth, seeds: int = 5, number: int = 0, point: int = 0, kinds: tuple[str, ...] = KINDS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of curves and of classes for `seeds` runs; `number` numbers the simulation (its pictures), `point` the point of a sweep."""
    return simulated(truth, seeds, number, point, kinds)[:2]


def simulated(
    truth: Truth, seeds: int = 5, number: int = 0, point: int = 0, kinds: tuple[str, ...] = KINDS
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Tables of curves, of classes, and of answers crossed picture by picture (columns of joint.csv)."""
    shared = np.random.default_rng([number, 0])
    time = steps(truth)
    label = np.arange(truth.n) % truth.K
    # In conflicts the same bottoms change places, so that each stands below a top of another class: kinds share their pictures.
    moved = _deranged(label, shared)
    other = label[moved]
    hard = shared.normal(0, truth.class_spread, truth.K)
    pictures = shared.normal(size=(2, truth.n))
    pictures[1] = truth.correlation * pictures[0] + np.sqrt(1 - truth.correlation**2) * pictures[1]
    evidence = shared.normal(size=(2, truth.n, truth.K)) if truth.rule == "gaussian" else None
    coin = shared.random(truth.n) if truth.settled else None
    curve_parts, class_parts, joint_parts = [], [], []
    for seed in range(seeds):
        generator = np.random.default_rng([number, 1, seed, point])
        place = np.sqrt(truth.agreement) * pictures + np.sqrt(1 - truth.agreement) * generator.normal(size=pictures.shape)
        early = norm.cdf(place)
        chance = [_firing(truth, side, time, hard, generator)[:, label] for side in (0, 1)]
        noise = None
        if evidence is not None:
            noise = np.sqrt(truth.agreement) * evidence + np.sqrt(1 - truth.agreement) * generator.normal(size=evidence.shape)
        found = {}
        for kind in kinds:
            top, bottom = kind in ("top", "both", "conflict"), kind in ("bottom", "both", "conflict")
            own = moved if kind == "conflict" else np.arange(truth.n)
            bottom_label = other if kind == "conflict" else label
            p_top = chance[0] if top else np.zeros_like(chance[0])
            p_bottom = chance[1][:, own] if bottom else np.zeros_like(chance[1])
            early_bottom = early[1][own]
            if truth.together and top and bottom:
                early_bottom = norm.cdf(truth.together * place[0] + np.sqrt(1 - truth.together**2) * place[1][own])
            if noise is not None:
                answers, loss = _by_largest(truth, p_top, p_bottom, noise[0], noise[1][own], label, bottom_label)
            elif truth.rule == "addition":
                answers, loss = _by_evidence(truth, time, p_top, p_bottom, early[0], early_bottom, label, bottom_label, generator)
            else:
                answers, loss = _by_patterns(truth, time, p_top, p_bottom, early[0], early_bottom, label, bottom_label, generator, coin)
            if kind == "both" and truth.late != 1:
                answers = _worse(truth, time, chance, answers, label, generator)
            right = answers == label
            of_bottom = (answers == bottom_label).mean(axis=1) if bottom else np.full(len(time), np.nan)
            of_top = right.mean(axis=1) if top else np.full(len(time), np.nan)
            curve_parts.append((seed, kind, loss.mean(axis=1), right.mean(axis=1), of_top, of_bottom))
            found[kind] = answers
            # Labels go round, so the pictures of a class are every K-th.
            by_class = (values.reshape(len(time), -1, truth.K).mean(axis=1).T.ravel() for values in (loss, right))
            class_parts.append((seed, kind, *by_class))
        if {"top", "bottom", "both", "conflict"} <= set(kinds):
            joint_parts += _crossed(time, seed, found, label, other, moved)
    joint = pd.concat(joint_parts, ignore_index=True) if joint_parts else pd.DataFrame()
    return *_tables(truth, time, curve_parts, class_parts), joint


def _deranged(label: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A permutation that leaves no label where it was."""
    order = generator.permutation(len(label))
    while (same := np.flatnonzero(label[order] == label)).size:
        with_whom = generator.integers(0, len(label), len(same))
        for one, other in zip(same, with_whom, strict=True):
            order[[one, other]] = order[[other, one]]
    return order


def _crossed(
    time: np.ndarray, seed: int, found: dict[str, np.ndarray], label: np.ndarray, other: np.ndarray, moved: np.ndarray
) -> list[pd.DataFrame]:
    """Counts of doubles and conflicts by whether their halves alone were answered rightly, and by their answer."""
    alone = found["top"] == label, found["bottom"] == label
    parts = []
    for probe, names, answer, bottom in (
        ("both", ("right", "wrong"), (found["both"] != label).astype(int), alone[1]),
        ("conflict", ("top", "bottom", "neither"), np.where(found["conflict"] == label, 0, np.where(found["conflict"] == other, 1, 2)),
         alone[1][:, moved]),
    ):  # fmt: skip
        cell = (2 * alone[0] + bottom) * len(names) + answer
        counts = np.stack([(cell == each).sum(axis=1) for each in range(4 * len(names))], axis=1)
        step, place = np.nonzero(counts)
        columns = {"run": f"run{seed}", "step": time[step], "probe": probe, "top_alone": place // len(names) // 2}
        columns |= {"bottom_alone": place // len(names) % 2, "answer": np.array(names)[place % len(names)], "n": counts[step, place]}
        parts.append(pd.DataFrame(columns))
    return parts


def _worse(
    truth: Truth, time: np.ndarray, chance: list[np.ndarray], answers: np.ndarray, label: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Answers to doubles of which so many more are made wrong, once the pair has risen by four fifths."""
    rise = np.mean([side.mean(axis=1) / side.mean(axis=1)[-1] for side in chance], axis=0)
    wrong = (truth.K - 1) / truth.K * ((1 - chance[0]) * (1 - chance[1])).mean(axis=1)
    share = np.where(rise > 0.8, (truth.late - 1) * wrong / (1 - wrong), 0.0)
    flipped = generator.random(answers.shape) < share[:, None]
    return np.where(flipped & (answers == label), (label + 1) % truth.K, answers)


def _tables(truth: Truth, time: np.ndarray, curve_parts: list[tuple], class_parts: list[tuple]) -> tuple[pd.DataFrame, pd.DataFrame]:
    seeds, kinds, *values = zip(*curve_parts, strict=True)
    steps_, size = np.tile(time, len(seeds)), len(time)
    columns = dict(zip(("loss", "accuracy", "agree_top", "agree_bottom"), (np.concatenate(value) for value in values), strict=True))
    curve_table = pd.DataFrame(
        {
            "run": np.repeat([f"run{seed}" for seed in seeds], size),
            "seed": np.repeat(seeds, size),
            "step": steps_,
            "epoch": steps_ * 64 / 20000,
            "samples": steps_ * 64,
            "split": "test",
            "kind": np.repeat(kinds, size),
            "n": truth.n,
            **columns,
        }
    )
    seeds, kinds, loss, accuracy = zip(*class_parts, strict=True)
    class_table = pd.DataFrame(
        {
            "run": np.repeat([f"run{seed}" for seed in seeds], size * truth.K),
            "step": np.tile(time, len(seeds) * truth.K),
            "kind": np.repeat(kinds, size * truth.K),
            "label": np.tile(np.repeat(np.arange(truth.K), size), len(seeds)),
            "n": truth.n // truth.K,
            "loss": np.concatenate(loss),
            "accuracy": np.concatenate(accuracy),
        }
    )
    return curve_table, class_table


def sweep(
    truth: Truth,
    prevalences: list[tuple[float, float]],
    *,
    both: list[float] | None = None,
    competition: float = 0.0,
    exponent: float = 1.0,
    lost: float = 0.0,
    by: str = "both",
    seeds: int = 5,
    number: int = 0,
) -> pd.DataFrame:
    """One-sided curves of a sweep: a side's onset goes as (own prevalence)^−exponent · exp(competition · the other's prevalence), and the
    bottom's ceiling falls by `lost` over the range of the share that shows both halves, or (`by` prevalence_top) of the top's prevalence.

    The share that shows both is a column where it is given.
    """
    parts = []
    moves = [top for top, _ in prevalences] if by == "prevalence_top" or both is None else both
    reach = max(moves) - min(moves)
    for index, (top, bottom) in enumerate(prevalences):
        onset = (
            truth.onset[0] * top**-exponent * np.exp(competition * bottom),
            truth.onset[1] * bottom**-exponent * np.exp(competition * top),
        )
        fall = lost * (moves[index] - min(moves)) / reach if lost else 0.0
        ceiling = truth.ceiling[0], truth.ceiling[1] - fall
        table, _ = curves(replace(truth, onset=onset, ceiling=ceiling), seeds, number, index, ("top", "bottom"))
        columns = {"prevalence_top": top, "prevalence_bottom": bottom} | ({} if both is None else {"both": both[index]})
        parts.append(table.assign(run=table["run"] + f"-{index}", **columns))
    return pd.concat(parts, ignore_index=True)


def _firing(truth: Truth, side: int, time: np.ndarray, hard: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(T, K): probability that the side's pattern fires."""
    onset = truth.onset[side] * np.exp(generator.normal(0, truth.seed_spread) + hard)
    speed = truth.speed[side] * np.exp(generator.normal(0, 0.1))
    ceiling = np.clip(truth.ceiling[side] + generator.normal(0, 0.01), 0, 1)
    late = np.maximum(time, 1e-9)[:, None]
    fall = 1 - truth.dip * (time > truth.last / 10)[:, None] if side == 0 else 1.0
    return ceiling / (1 + (late / onset) ** -speed) * fall


def _by_patterns(truth, time, p_top, p_bottom, early_top, early_bottom, label, bottom_label, generator, coin):
    """A pattern fires on the pictures that are learned early enough; where both fire one is preferred; where none fires the answer
    is a guess.
    """
    fires = early_top < p_top, early_bottom < p_bottom
    if truth.rule == "better":
        # Of two halves that show one class, the one that fires less often is not looked at.
        less = ((p_top.mean(axis=1) < p_bottom.mean(axis=1))[:, None] & (bottom_label == label)) & (p_bottom > 0) & (p_top > 0)
        more = ((p_top.mean(axis=1) >= p_bottom.mean(axis=1))[:, None] & (bottom_label == label)) & (p_bottom > 0) & (p_top > 0)
        fires = fires[0] & ~less, fires[1] & ~more
    place = np.log(np.maximum(time, 1)) / np.log(truth.last)
    share = truth.preference[0] + (truth.preference[1] - truth.preference[0]) * place
    coin = (generator.random(len(label)) if coin is None else coin)[None, :] < share[:, None]
    guess = generator.integers(0, truth.K, (len(time), len(label)))
    answers = np.where(fires[0] & (coin | ~fires[1]), label, np.where(fires[1], bottom_label, guess))
    if truth.loss == "calibrated":
        return answers, _calibrated(truth, answers == label)
    silent = ~fires[0] & ~fires[1]
    return answers, np.where(silent, np.log(truth.K), np.where(answers == label, 0.001, 6.0))


def _by_evidence(truth, time, p_top, p_bottom, early_top, early_bottom, label, bottom_label, generator):
    """Each half adds a logit for its class, as large as its one-sided accuracy needs; the answer is drawn from the softmax of the sum."""
    odds = []
    for p in (p_top, p_bottom):
        accuracy = np.clip(p + (1 - p) / truth.K, 1e-9, 1 - 1e-9)
        odds.append(accuracy * (truth.K - 1) / (1 - accuracy))
    same = bottom_label == label
    weight_label = np.where(same, odds[0] * odds[1], odds[0])
    weight_other = np.where(same, 0.0, odds[1])
    rest = truth.K - 1 - ~same
    drawn = generator.random(weight_label.shape) * (weight_label + weight_other + rest)
    # One of the other classes: a shift from the label; in conflicts the shift that would hit the bottom's class is stepped over.
    step = 1 + np.clip(drawn - weight_label - weight_other, 0, rest - 1e-9).astype(int)
    step += ~same & (step >= (bottom_label - label) % truth.K)
    guess = (label + step) % truth.K
    answers = np.where(drawn < weight_label, label, np.where(drawn < weight_label + weight_other, bottom_label, guess))
    return answers, _calibrated(truth, answers == label)


def _by_largest(truth, p_top, p_bottom, noise_top, noise_bottom, label, bottom_label):
    """Each half gives evidence for its class in noise of its own, weighted by how strong it is on average; the largest sum is answered."""
    grid = np.linspace(0, 9, 900)
    x = np.linspace(-9, 18, 1500)
    accuracy = norm.pdf(x - grid[:, None]) @ ndtr(x) ** (truth.K - 1) * (x[1] - x[0])
    total = np.zeros((*p_top.shape, truth.K))
    for p, noise, shown in ((p_top, noise_top, label), (p_bottom, noise_bottom, bottom_label)):
        strength = np.interp(p + (1 - p) / truth.K, accuracy, grid)
        total += strength[..., None] * noise
        total[:, np.arange(len(shown)), shown] += strength**2
    answers = total.argmax(axis=2)
    # No evidence at all is a tie: any class, by the picture's own noise.
    silent = (p_top == 0) & (p_bottom == 0)
    answers = np.where(silent, (noise_top.argmax(axis=1) + label) % truth.K, answers)
    return answers, _calibrated(truth, answers == label)


def _calibrated(truth: Truth, right: np.ndarray) -> np.ndarray:
    share = np.clip(right.mean(axis=1, keepdims=True), 0.5 / truth.n, 1 - 0.5 / truth.n)
    return np.where(right, -np.log(share), -np.log((1 - share) / (truth.K - 1)))
