"""The naive rivals that every theory has to beat: the nearest spec, the mean, a smooth regression over the dials, the last value."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from dominoes.arrays import FloatArray
from dominoes.leaderboard.scale import backward
from dominoes.leaderboard.theories.base import CurveKey, CurvesByKey, CurveTheory, Dials, StraightLine, average, chance, on_scale


def _forecast(spec: Dials, found: CurvesByKey, steps: FloatArray) -> CurvesByKey:
    """Chance where nothing is known; what is known of empty dominoes is that they are guessed."""
    return chance(spec, len(steps)) | {curve: values for curve, values in found.items() if curve[0] != "empty"}


class CopyNearest(CurveTheory):
    """The curves of the nearest spec (their mean where several tie); skill is counted from it. No parameters."""

    def predict(self, spec: Dials, given: dict[CurveKey, StraightLine], steps: FloatArray) -> CurvesByKey:
        nearest = [self.curves[name] for name in self.distances().nearest(spec)]
        return _forecast(spec, average(nearest, steps), steps)


class MeanOfSpecs(CurveTheory):
    """The mean over all specs. No parameters."""

    def predict(self, spec: Dials, given: dict[CurveKey, StraightLine], steps: FloatArray) -> CurvesByKey:
        return _forecast(spec, average(list(self.curves.values()), steps), steps)


class LastValue(CurveTheory):
    """Every curve stays at the last value that was given; chance where nothing earlier is given. No parameters."""

    def predict(self, spec: Dials, given: dict[CurveKey, StraightLine], steps: FloatArray) -> CurvesByKey:
        found = {curve: np.full(len(steps), line.value[-1]) for curve, line in given.items() if line.step[-1] < steps[0]}
        total = sum(values for curve, values in found.items() if curve[0] == "conflict")
        return _forecast(spec, {curve: values / total if curve[0] == "conflict" else values for curve, values in found.items()}, steps)


class SmoothRegression(CurveTheory):
    """A Gaussian process over the dials: curves on their scales, around their mean over specs, vary smoothly with every dial that varies.

    One squared-exponential kernel for all curves and steps, k(x, x') = exp(−|x − x'|² / 2ℓ²) + λ δ, x the dials by their spread (numbers
    in logs where they span a factor of 8, names as indicators); ℓ and λ maximise the marginal likelihood of all curves together on a
    grid (Rasmussen and Williams 2006, equation 5.8, with the variance of each curve and step profiled out). Two parameters.
    """

    _LENGTHS = np.geomspace(0.5, 16.0, 11)
    _NOISES = np.geomspace(1e-3, 1.0, 7)

    def learn(self) -> None:
        names = sorted(self.specs)
        self._levels = sorted(
            {
                (name, str(value))
                for dials in self.distances().known.values()
                for name, value in dials.items()
                if name not in self.distances().columns
            }
        )
        self._length, self._noise = 4.0, 0.1
        if not names:
            return
        self._x = np.array([self._vector(self.specs[name]) for name in names])
        if len(names) < 3:
            return
        outputs = self._outputs(self._grid())
        values = np.concatenate([block for block in outputs.values() if len(block) == len(names)], axis=1)
        centred = values - values.mean(axis=0)
        # Directions that hold the curves' variance: a Gaussian process on each is one on all, at a fraction of the price.
        left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
        scores = (left * sizes)[:, sizes > 1e-6 * max(sizes[0], 1e-300)]
        squares = self._squares(self._x, self._x)
        best = -np.inf
        for length in self._LENGTHS:
            for noise in self._NOISES:
                kernel = np.exp(-squares / (2 * length**2)) + noise * np.eye(len(names))
                factor = cho_factor(kernel, lower=True)
                fitted = float((scores * cho_solve(factor, scores)).sum())
                count = scores.shape[1]
                total = count * len(names)
                likelihood = -0.5 * total * np.log(max(fitted, 1e-300) / total) - count * float(np.log(np.diag(factor[0])).sum())
                if likelihood > best:
                    best, self._length, self._noise = likelihood, float(length), float(noise)

    def predict(self, spec: Dials, given: dict[CurveKey, StraightLine], steps: FloatArray) -> CurvesByKey:
        names = sorted(self.specs)
        found: CurvesByKey = {}
        if not names:
            return chance(spec, len(steps))
        kernel = np.exp(-self._squares(self._x, self._x) / (2 * self._length**2)) + self._noise * np.eye(len(names))
        across = np.exp(-self._squares(self._vector(spec)[None, :], self._x) / (2 * self._length**2))
        weights = np.linalg.solve(kernel, across[0])
        for curve, block in self._outputs(steps).items():
            if len(block) == len(names):
                mean = block.mean(axis=0)
                found[curve] = backward(curve[1], mean + weights @ (block - mean))
        total = sum((found[curve] for curve in found if curve[0] == "conflict"), np.zeros(len(steps)))
        scaled = {curve: values / total if curve[0] == "conflict" else values for curve, values in found.items()}
        return _forecast(spec, scaled, steps)

    def _grid(self) -> FloatArray:
        last = min(line.step[-1] for curves in self.curves.values() for line in curves.values())
        return np.unique(np.round(np.geomspace(1, max(last, 2), 24)))

    def _outputs(self, steps: FloatArray) -> dict[CurveKey, FloatArray]:
        names = sorted(self.curves)
        every = sorted({curve for name in names for curve in self.curves[name]})
        return {curve: on_scale([self.curves[name][curve] for name in names if curve in self.curves[name]], steps) for curve in every}

    def _vector(self, spec: Dials) -> FloatArray:
        known = self.distances()
        # What does not vary among the known specs tells them nothing.
        numbers = [value for name, value in known.vector(spec).items() if known.columns[name][1] > 1e-12]
        alike = [float(str(spec.get(name)) == level) for name, level in self._levels]
        return np.asarray(np.nan_to_num(np.array([*numbers, *alike])))

    @staticmethod
    def _squares(one: FloatArray, other: FloatArray) -> FloatArray:
        return np.asarray(((one[:, None, :] - other[None, :, :]) ** 2).sum(axis=2))
