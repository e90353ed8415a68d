"""Races: two patterns are learned at once, and what one already answers no longer teaches the other.

Time is counted in steps times the step's size (learning rate over 1 − momentum for SGD), relative to the fitted specs. Both races are read
out through margins: a side alone is answered with a = 1 / (1 + (K − 1) e^(−m_i)), doubles with the sum of the margins, conflicts with
softmax(m_t, m_b, 0 × (K − 2)). Losses follow accuracies as they did on the fitted specs (means in bins of accuracy, one curve a kind).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable

import numpy as np
from scipy.optimize import least_squares
from scipy.special import logit

from dominoes.arrays import FloatArray
from dominoes.leaderboard.theories import evidence, integration
from dominoes.leaderboard.theories.base import (
    CurveKey,
    CurvesByKey,
    CurveTheory,
    Dials,
    StraightLine,
    chance,
    classes_of,
    dial_number,
    shift_to,
    whole,
)
from dominoes.leaderboard.theories.integration import Rate
from dominoes.leaderboard.theories.setting import Setting, optimizer_step, shared_setting
from dominoes.spec import SIDES

# Bins of accuracy between which losses are interpolated.
_BINS = 16
# By how much a parameter is moved for the Jacobian.
_ASIDE = 1e-4
# Larger margins are answered for certain, and their exponentials overflow.
_MOST_MARGIN = 50.0


class _Remembered:
    """Residuals and their Jacobian of one point, made together: a point that is tried is nearly always taken, and then wants both."""

    def __init__(self, both: Callable[[FloatArray], tuple[FloatArray, FloatArray]]):
        self._both = both
        self._point: FloatArray | None = None
        self._found: tuple[FloatArray, FloatArray]

    def _at(self, point: FloatArray) -> tuple[FloatArray, FloatArray]:
        if self._point is None or not np.array_equal(point, self._point):
            self._point, self._found = point.copy(), self._both(point)
        return self._found

    def value(self, point: FloatArray) -> FloatArray:
        return self._at(point)[0]

    def jacobian(self, point: FloatArray) -> FloatArray:
        return self._at(point)[1]


class Race(CurveTheory):
    """A pair of coupled rate equations for the strengths (s_t, s_b), fitted to the one-sided curves of all specs.

    Attributes:
        names, start, low, high: of the parameters, on the scale on which they are fitted (logs of what is positive).
        parameters: (P,) fitted. offsets: side -> its own conditions (source, transform, network, ...) -> what they add to ln k.
    """

    names: tuple[str, ...]
    start: FloatArray
    low: FloatArray
    high: FloatArray

    def __init__(self) -> None:
        super().__init__()
        self.parameters = self.start.copy()
        self.clock = 1.0
        self.offsets: tuple[dict[str, float], dict[str, float]] = ({}, {})
        self.losses: dict[str, tuple[FloatArray, FloatArray]] = {}

    @abstractmethod
    def equation(self, p: FloatArray, where: Setting, log_k: FloatArray) -> Rate:
        """d ln s / dt from ln s, (..., 2, B, N) -> the same: for p (B, P) parameters and ln of the speeds (2, B, N)."""

    def stiff(self, where: Setting) -> bool:
        """Whether strengths come to rest: near rest an explicit step is only stable if it is short."""
        return not where.reliable

    @abstractmethod
    def initial(self, p: FloatArray) -> FloatArray:
        """(B,) the strength that both sides begin with."""

    @abstractmethod
    def margins(self, s: FloatArray, p: FloatArray) -> FloatArray:
        """Margins of the sides alone on test pictures: (..., B, N, 2) from strengths."""

    def simulate(self, p: FloatArray, where: Setting, extra: FloatArray, steps: FloatArray) -> FloatArray:
        """Margins (T, B, N, 2) at the steps (T,) above 0, for parameters p (B, P) and ln k's further terms extra (B, N, 2)."""
        log_k = np.moveaxis(p[:, None, :2] + extra + np.log(where.pace), 2, 0)
        u = np.empty(log_k.shape)
        u[:] = np.log(self.initial(p))[:, None]
        found = integration.integrate_races(self.equation(p, where, log_k.copy()), u, steps, stiff=self.stiff(where))
        return self.margins(np.exp(np.moveaxis(found, 1, 3)), p)

    def learn(self) -> None:
        names = [name for name in self.specs if all((side, "accuracy") in self.curves[name] for side in SIDES)]
        self._learn_losses()
        if not names:
            return
        specs = [self.specs[name] for name in names]
        self.clock = float(np.median([optimizer_step(spec) for spec in specs]))
        where = shared_setting(specs, self.clock)
        steps = _grid([self.curves[name]["top", "accuracy"] for name in names])
        measured = [np.array([self.curves[name][side, "accuracy"].at(steps) for name in names]).T for side in SIDES]
        wanted = _stable(np.stack(measured, axis=-1))
        levels = [sorted({_condition(spec, side) for spec in specs}) for side in SIDES]
        places = [[levels[side].index(_condition(spec, SIDES[side])) for spec in specs] for side in range(2)]
        extras = [len(each) if len(each) > 1 else 0 for each in levels]

        def extra(theta: FloatArray) -> FloatArray:
            found = np.zeros((len(theta), len(specs), 2))
            begin = len(self.names)
            for side in range(2):
                if extras[side]:
                    found[:, :, side] = theta[:, begin : begin + extras[side]][:, places[side]]
                    begin += extras[side]
            return found

        def residuals(theta: FloatArray) -> FloatArray:
            """(B, R): misfits of variance-stabilised accuracies, and what holds the offsets to their mean."""
            m = self.simulate(theta[:, : len(self.names)], where, extra(theta), steps)
            misfit = _stable(evidence.accuracy_of_margin(m, where.K)) - wanted[:, None]
            misfit = np.moveaxis(misfit, 1, 0).reshape(len(theta), -1)
            return np.concatenate([misfit, 0.1 * theta[:, len(self.names) :]], axis=1)

        def with_jacobian(theta: FloatArray) -> tuple[FloatArray, FloatArray]:
            """(R,) residuals and (R, P) their differences by each parameter, in one simulation."""
            moved = theta + _ASIDE * np.eye(len(theta))
            inside = moved.diagonal() <= high
            moved[~inside] -= 2 * _ASIDE * np.eye(len(theta))[~inside]
            all_at_once = residuals(np.concatenate([theta[None], moved]))
            change = (all_at_once[1:] - all_at_once[0]) / np.where(inside, _ASIDE, -_ASIDE)[:, None]
            return np.asarray(all_at_once[0]), np.asarray(change.T)

        room = np.full(sum(extras), 3.0)
        low, high = np.concatenate([self.low, -room]), np.concatenate([self.high, room])
        begin = np.concatenate([self._guess(names), np.zeros(sum(extras))])
        begin = np.clip(begin, low + 1e-6, high - 1e-6)
        search = _Remembered(with_jacobian)
        fit = least_squares(search.value, begin, search.jacobian, bounds=(low, high), max_nfev=15, ftol=1e-4, xtol=1e-4)
        self.parameters = fit.x[: len(self.names)]
        offsets = fit.x[len(self.names) :]
        tops = offsets[: extras[0]]
        self.offsets = (
            dict(zip(levels[0], tops, strict=True)) if extras[0] else {},
            dict(zip(levels[1], offsets[extras[0] :], strict=True)) if extras[1] else {},
        )

    def _guess(self, names: list[str]) -> FloatArray:
        """The start, with speeds such that the onsets are about where they were measured."""
        start = self.start.copy()
        for place, side in enumerate(SIDES):
            products = []
            for name in names:
                line = self.curves[name][side, "accuracy"]
                half = (line.value.max() + line.value[0]) / 2
                onset = float(line.step[int((line.value >= half).argmax())])
                products.append(
                    onset * dial_number(self.specs[name], f"prevalence_{side}", 1.0) * optimizer_step(self.specs[name]) / self.clock
                )
            start[place] = self._speed(float(np.median(products)))
        return start

    def _speed(self, onset: float) -> float:
        """ln k of a side whose onset, times its prevalence, is this."""
        return math.log(3 / onset)

    def _learn_losses(self) -> None:
        for kind in (*SIDES, "both"):
            x, y = [], []
            for curves in self.curves.values():
                if (kind, "accuracy") in curves and (kind, "loss") in curves:
                    line = curves[kind, "accuracy"]
                    x.append(logit(np.clip(line.value, 0.02, 1 - 0.5 / line.n)))
                    y.append(np.log(np.maximum(curves[kind, "loss"].value, 1e-3)))
            if x:
                order = np.argsort(xs := np.concatenate(x), kind="stable")
                bins = np.array_split(order, min(_BINS, len(order)))
                ys = np.concatenate(y)
                self.losses[kind] = (np.array([xs[each].mean() for each in bins]), np.array([ys[each].mean() for each in bins]))

    def loss(self, kind: str, accuracy: FloatArray, K: int) -> FloatArray:
        """Loss in nats from accuracy as measured on the fitted specs; "fires → sure, else uniform" where there were none."""
        if kind not in self.losses:
            return np.asarray((1 - accuracy) * K / (K - 1) * math.log(K))
        return np.exp(np.interp(logit(np.clip(accuracy, 0.02, 1 - 1e-4)), *self.losses[kind]))

    def predict(self, spec: Dials, given: dict[CurveKey, StraightLine], steps: FloatArray) -> CurvesByKey:
        K = classes_of(spec)
        found = chance(spec, len(steps))
        n = max((line.n for line in given.values()), default=1000.0)
        known = {
            place: evidence.margin_of_accuracy(given[side, "accuracy"].at(steps), K, n)
            for place, side in enumerate(SIDES)
            if whole(given, (side, "accuracy"), steps)
        }
        margins = {} if len(known) == len(SIDES) else self._margins(spec, given, steps)
        margins |= known
        for kind, margin in (("top", margins[0]), ("bottom", margins[1]), ("both", margins[0] + margins[1])):
            found[kind, "accuracy"] = evidence.accuracy_of_margin(margin, K)
            found[kind, "loss"] = self.loss(kind, found[kind, "accuracy"], K)
        for metric, share in zip(
            ("agree_top", "agree_bottom", "neither"), evidence.margin_conflict(margins[0], margins[1], K), strict=True
        ):
            found["conflict", metric] = share
        return found

    def _margins(self, spec: Dials, given: dict[CurveKey, StraightLine], steps: FloatArray) -> dict[int, FloatArray]:
        """Margins of both sides by their place; where the first steps are given, in the time that meets them best."""
        where = shared_setting([spec], self.clock)
        extra = np.array([[[self._offset(side, spec) for side in range(2)]]])
        begun = [(side, "accuracy") in given and given[side, "accuracy"].step[-1] < steps[0] for side in SIDES]
        wide = np.unique(np.concatenate([steps, np.geomspace(0.05, steps[-1] * 20, 60)]))
        if not any(begun):
            # Later times are read only where a curve is moved.
            wide = wide[wide <= steps[-1]]
        simulated = self.simulate(self.parameters[None], where, extra, wide)[:, 0, 0, :]
        found = {}
        for place, side in enumerate(SIDES):
            shift = 0.0
            if begun[place]:
                first = given[side, "accuracy"]
                base = StraightLine("accuracy", wide, evidence.accuracy_of_margin(simulated[:, place], where.K), first.n)
                shift = shift_to(first, base)
            found[place] = np.interp(np.log(steps) + shift, np.log(wide), simulated[:, place])
        return found

    def _offset(self, side: int, spec: Dials) -> float:
        known = self.offsets[side]
        return known.get(_condition(spec, SIDES[side]), float(np.mean(list(known.values()))) if known else 0.0)


def _sides(each: FloatArray) -> FloatArray:
    """(N, 2), or (N, 1) for both, as (2, 1, N)."""
    return np.ascontiguousarray(np.broadcast_to(each, (len(each), 2)).T[:, None])


def _mates(each: FloatArray) -> FloatArray:
    """(..., 2, B, N) with the sides exchanged."""
    return each[..., ::-1, :, :]


def _condition(spec: Dials, side: str) -> str:
    """What changes how fast one side is learned, by name: its source and transform, the network, the place."""
    parts = [str(spec[name]) for name in (f"source_{side}", f"transform_{side}", "model", "swap", "optimizer") if name in spec]
    return " ".join(parts)


def _stable(share: FloatArray) -> FloatArray:
    """arcsin √a, on which a share's sampling error is the same everywhere."""
    return np.arcsin(np.sqrt(np.clip(share, 0, 1)))


def _grid(lines: list[StraightLine]) -> FloatArray:
    """At most 12 steps that all curves reach, even in ln t."""
    last = min(line.step[-1] for line in lines)
    first = max(line.step[0] for line in lines)
    return np.unique(np.round(np.geomspace(first, last, 12)))


class LinearRace(Race):
    """The linear race, or explaining away: a gated deep linear network with one pathway a side.

    ds_t/dt = (2/τ_t) s_t (A r_t − A s_t − D r_t r_b s_b), and likewise for the bottom with C; r_i = (K ρ_i − 1)/(K − 1). This is
    equation 10 of Saxe, McClelland and Ganguli (2013, arXiv 1312.6120), τ du/dt = 2 u (s − u) for balanced layers, with the correlations
    of each pathway and between pathways of the race reduction (Saxe, Sodhani and Lewallen 2022, arXiv 2207.10430): input–output
    correlation A r_t, own variance A, overlap D r_t r_b. s = 1 reproduces the label alone. Departures: whitened classes, no depth beyond
    two, margins m_i = β_i s_i as readout (a squared loss has no accuracy of its own). Parameters: τ_t, τ_b, s_0, β_t, β_b.
    """

    names = ("ln 2/tau top", "ln 2/tau bottom", "ln s0", "ln beta top", "ln beta bottom")
    start = np.array([-1.0, -3.0, math.log(0.05), math.log(5.5), math.log(3.0)])
    low = np.array([-12.0, -12.0, math.log(1e-6), math.log(0.2), math.log(0.2)])
    high = np.array([4.0, 4.0, math.log(0.7), math.log(15.0), math.log(15.0)])

    def stiff(self, where: Setting) -> bool:
        return True

    def initial(self, p: FloatArray) -> FloatArray:
        return np.exp(p[:, 2])

    def margins(self, s: FloatArray, p: FloatArray) -> FloatArray:
        return np.asarray(s * np.exp(p[:, None, 3:5]))

    def equation(self, p: FloatArray, where: Setting, log_k: FloatArray) -> Rate:
        signal = (where.K * where.reliability - 1) / (where.K - 1)
        k = np.exp(log_k)
        rest, own = k * _sides(where.shown * signal), k * _sides(where.shown)
        overlap = k * _sides(where.both * signal[:, :1] * signal[:, 1:])

        def rate(u: FloatArray) -> FloatArray:
            s = np.exp(u)
            return np.asarray(rest - own * s - overlap * _mates(s))

        return rate


class MarginRace(Race):
    """The margin race: margins grow by the share of dominoes that are not yet answered.

    ds_i/dt = k_i s_i^q [f_i r(s_i) + D r(s_i + c s_j)], r(m) = (K − 1)/(K − 1 + e^m), f_i the share that shows side i alone. r is minus
    the derivative of the cross-entropy by the margin. With c = 1 a double that one side answers teaches the other nothing, which is a
    relative of gradient starvation (Pezeshki et al. 2021, arXiv 2011.09468); c = 0 is no competition. Departure: that paper has coupled
    features of a linearised network, here each side is one margin with a power q. With reliability, a wrong half pushes the other way
    with its share: see `_Unreliable`. Margins on test pictures are g_i s_i. Parameters: k_t, k_b, s_0, q, g_t, g_b and, if free, c.

    Args:
        c: 0, 1 or None (free).
    """

    names: tuple[str, ...] = ("ln k top", "ln k bottom", "ln s0", "q", "ln g top", "ln g bottom", "c")
    start = np.array([-1.0, -3.0, math.log(0.05), 0.8, 0.0, 0.0, 0.5])
    low = np.array([-12.0, -12.0, math.log(1e-4), 0.0, math.log(0.1), math.log(0.1), 0.0])
    high = np.array([4.0, 4.0, math.log(0.7), 2.0, math.log(1.5), math.log(1.5), 1.5])

    def __init__(self, c: float | None = None):
        self.c = c
        if c is not None:
            self.names, self.start, self.low, self.high = self.names[:-1], self.start[:-1], self.low[:-1], self.high[:-1]
        super().__init__()

    def initial(self, p: FloatArray) -> FloatArray:
        return np.exp(p[:, 2])

    def margins(self, s: FloatArray, p: FloatArray) -> FloatArray:
        return np.asarray(s * np.exp(p[:, None, 4:6]))

    def equation(self, p: FloatArray, where: Setting, log_k: FloatArray) -> Rate:
        K = where.K
        c = p[:, 6][:, None] if self.c is None else self.c
        power = p[:, 3][:, None] - 1
        alone, both = (K - 1) * _sides(where.alone), (K - 1) * _sides(where.both)
        drive = _Unreliable(where)

        def rate(u: FloatArray) -> FloatArray:
            u = np.minimum(u, math.log(_MOST_MARGIN))
            s = np.exp(u)
            e = np.exp(s)
            # e^(c s_j): for c = 1 it is there already, for c = 0 it is 1.
            f = e if self.c == 1 else np.ones_like(e) if self.c == 0 else np.exp(c * s)
            found = alone / (K - 1 + e) + both / (K - 1 + e * _mates(f)) if where.reliable else drive(e, _mates(f))
            return np.asarray(np.exp(log_k + power * u) * found)

        return rate


class _Unreliable:
    """Minus the derivative of the cross-entropy by s, over right and wrong halves, from e = e^s and f = e^(c s_j).

    Alone: ρ r(s) − (1 − ρ)(1 − r(s)), at rest where a = ρ. Doubles by the four cases: both right r(s + c s_j); this right, the other
    wrong: 1 − softmax of its class; this wrong: minus the softmax of the class it shows, with the other's class the label's, another,
    or (one in K − 1 of the double errors) the same.
    """

    def __init__(self, where: Setting):
        self.K = where.K
        self.alone, self.both = _sides(where.alone), _sides(where.both)
        self.own = _sides(where.reliability)
        self.mate = _mates(self.own)

    def __call__(self, e: FloatArray, f: FloatArray) -> FloatArray:
        K, own, mate = self.K, self.own, self.mate
        r = (K - 1) / (K - 1 + e)
        single = own * r - (1 - own) * (1 - r)
        apart = e / (e + f + K - 2)
        together = e * f / (e * f + K - 1)
        double = own * (mate * (1 - together) + (1 - mate) * (1 - apart))
        double = double - (1 - own) * (mate * apart + (1 - mate) * ((K - 2) / (K - 1) * apart + together / (K - 1)))
        return np.asarray(self.alone * single + self.both * double)
