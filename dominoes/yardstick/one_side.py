"""What one side alone is trained for: code length, learning times, the linear share."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from dominoes.data import measuring
from dominoes.data.dealing import Deal, deal
from dominoes.data.dominoes import Dominoes
from dominoes.data.sources import Source
from dominoes.errors import RunError, SpecError
from dominoes.solver.solution import solve
from dominoes.solver.stock import Stock, capacity
from dominoes.spec import SIDES, DominoSpec, RunSpec, Split, TrainSpec, stream
from dominoes.tables import UNREACHED
from dominoes.theory.fits.curve import CurveFit, fit_curve
from dominoes.training.loop import Trained, train
from dominoes.training.scorer import logits
from dominoes.yardstick import code_length

# Steps that each block's model is trained for at least.
FEWEST_STEPS = 100
# Iterations of the linear model's solver; what has not converged by then says so.
_ITERATIONS = 300


def probe(source: Source, side: str, how: TrainSpec) -> Dominoes:
    """The probe that shows this side alone, of the pictures that a run is measured on. Raises SpecError if there are too few."""
    n = measuring.probe_size(how, "max")
    request = DominoSpec(n=n, prevalence=(1, 0), top=source.name, bottom=source.name, split=Split.TEST, seed=how.probe_seed)
    stock = Stock(source.stock, source.stock)
    most = capacity(request, stock)
    if most is not None and n > most:
        raise SpecError(f"probe {n}: the test split of {source.name} has pictures for {most}; use --probe {most} at most")
    # Always dealt as a top half: the same pictures on either side.
    return one_sided(source, side, deal(solve(request, stock), source, source).index["top"])


def one_sided(source: Source, side: str, rows: NDArray[np.int64]) -> Dominoes:
    """Dominoes that show these pictures of a source on one side, right, and nothing on the other."""
    blank = np.full(len(rows), -1, dtype=np.int64)
    label = source.labels[rows]
    index = {other: rows if other == side else blank for other in SIDES}
    shown = {other: label if other == side else blank for other in SIDES}
    return Dominoes(Deal(label, index, shown), source, source)


def sending_order(source: Source, n: int, seed: int) -> NDArray[np.int64]:
    """The pictures whose labels are sent, in their order: n of the source's, by the seed's stream `blocks`."""
    rng = np.random.Generator(np.random.PCG64(stream(seed, "blocks")))
    return rng.permutation(source.chosen)[:n]


def epochs(count: int, how: TrainSpec) -> int:
    return max(how.epochs, math.ceil(FEWEST_STEPS / math.ceil(count / how.batch)))


def steps_of(end: int, how: TrainSpec) -> float:
    trained = code_length.known(end)[0].stop
    return float(epochs(trained, how) * math.ceil(trained / how.batch))


def coded(
    source: Source, side: str, how: TrainSpec, n: int, seed: int, block: int, device: torch.device | None = None
) -> tuple[float, float]:
    """Nats per label of the block after number `block` (from 0), and the temperature: by a model trained on all blocks up to it.

    Raises RunError if the training diverges.
    """
    rows = sending_order(source, n, seed)
    ends = code_length.block_ends(len(source.classes), n)
    fit, held = (one_sided(source, side, rows[part]) for part in code_length.known(ends[block]))
    how = how.model_copy(update={"epochs": epochs(len(fit), how), "measurements": 1, "probe": 1})
    few = one_sided(source, side, rows[:1])
    trained = _finite(train(RunSpec(dataset=DominoSpec(), train=how, seed=seed), fit, {side: few}, device=device), source, how)
    following = one_sided(source, side, rows[ends[block] : ends[block + 1]])
    answers, labels = (logits(trained.network, part, how, device) for part in (held, following)), (held.deal.label, following.deal.label)
    (of_held, of_next) = answers
    temperature = code_length.temperature(of_held, labels[0])
    cost = code_length.hedged(code_length.nats(of_next, labels[1], temperature), len(source.classes))
    return cost / len(following), temperature


def solo(source: Source, side: str, how: TrainSpec, tests: Dominoes, n: int, seed: int, device: torch.device | None = None) -> pd.DataFrame:
    """The test curve of a network that is trained on n dominoes which show this side alone. Raises RunError if it diverges."""
    how = how.model_copy(update={"epochs": epochs(n, how)})
    spec = RunSpec(dataset=DominoSpec(), train=how, seed=seed)
    trained = _finite(train(spec, one_sided(source, side, sending_order(source, n, seed)), {side: tests}, device=device), source, how)
    return trained.curves[trained.curves["split"] == "test"].reset_index(drop=True)


def _finite(trained: Trained, source: Source, how: TrainSpec) -> Trained:
    if trained.diverged is not None:
        raise RunError(
            f"training on {source.name} diverged at step {trained.diverged} (its loss is not finite); use a lower --lr than {how.lr:g}"
        )
    return trained


def linear(source: Source, tests: Dominoes, side: str, n: int, seed: int) -> tuple[float, str]:
    """Accuracy of multinomial logistic regression on pixels, trained and tested on the pictures of `solo`, and the fit's status."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    def pixels(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        return (pictures.reshape(len(pictures), -1) / 255).astype(np.float32)

    rows = sending_order(source, n, seed)
    where = tests.deal.index[side]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # A weak penalty: with none, pixels that are nearly constant would get weights without limit.
        model = LogisticRegression(C=0.1, tol=1e-3, max_iter=_ITERATIONS)
        model.fit(pixels(source.pictures[rows]), source.labels[rows])
    held = tests.sources[side]
    accuracy = float(model.score(pixels(held.pictures[where]), held.labels[where]))
    steps = int(np.max(model.n_iter_))
    return accuracy, "ok" if steps < _ITERATIONS else f"not converged after {steps} iterations"


def learning_times(solos: Sequence[pd.DataFrame], share: float, classes: int) -> tuple[list[float], str]:
    """Samples until the solo curve of each seed has made this share of its rise from chance to its ceiling, and how that was found.

    From the fit in log time that gives the comparator its onsets, where that stands for every seed (it converged, and the time lies
    within what was measured); else where the closest monotone curve crosses the share of its own end.
    """
    time = solos[0]["samples"].to_numpy(float)
    accuracy, n = (np.stack([table[column].to_numpy(float) for table in solos]) for column in ("accuracy", "n"))
    fit = fit_curve(time, accuracy, family="logistic-log", chance=1 / classes, n=n)
    each = fit.seeds or (fit,)
    # 1 / (1 + (t / onset)^−speed) = share.
    times = [one.onset * (share / (1 - share)) ** (1 / one.speed) if one.speed > 0 else math.nan for one in each]
    if all(one.learned and one.converged and time[1] <= at <= time[-1] for one, at in zip(each, times, strict=True)):
        return times, "fit"
    smooth = fit_curve(time, accuracy, family="isotonic", chance=1 / classes, n=n)
    times = [_crossed(one, time, share, 1 / classes) for one in smooth.seeds or (smooth,)]
    return times, "crossing" if np.isfinite(times).all() else UNREACHED


def _crossed(fit: CurveFit, time: NDArray[np.float64], share: float, chance: float) -> float:
    if not fit.learned:
        return math.nan
    values = fit.predict(time)
    level = chance + share * (values[-1] - chance)
    after = int(np.argmax(values >= level))
    return float(np.interp(level, values[after - 1 : after + 1], time[after - 1 : after + 1])) if after else float(time[1])
