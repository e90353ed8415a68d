"""What is judged of chains' traces, apart from how they were walked."""

import numpy as np
import pytest

from dominoes.yardstick.convergence import Limits, assess


def noise(mean: float = 1.0, shift: float = 0.0, trend: float = 0.0) -> np.ndarray:
    """4 chains of 600 independent draws; the first chain is shifted, all of them rise by `trend` in all."""
    draws = mean + 0.2 * np.random.default_rng(0).standard_normal((4, 600)) + trend * np.linspace(-0.5, 0.5, 600)
    draws[0] += shift
    return draws


STEADY = np.ones((4, 600))


def reasons(trace: np.ndarray, *, distance: np.ndarray = STEADY, fine: np.ndarray | None = None, limits: Limits | None = None) -> str:
    """Why it has not converged, in one text."""
    return "; ".join(assess(trace, trace if fine is None else fine, [STEADY, distance], limits=limits).reasons)


def test_independent_draws_have_converged() -> None:
    """Nothing speaks against them: mean, standard error and effective sample size are those of independent numbers."""
    found = assess(noise(), noise(), [STEADY])
    assert found.converged
    assert found.mean == pytest.approx(noise().mean())
    assert found.se == pytest.approx(0.2 / np.sqrt(2400), rel=0.2)
    # Of 100 block means a chain.
    assert found.ess == pytest.approx(400, rel=0.3)


def test_each_fault_has_its_reason() -> None:
    """One fault, one clause."""
    assert "chains disagree (split-R̂ " in reasons(noise(shift=0.3))
    assert "the loss drifts by +33%" in reasons(noise(trend=0.5), limits=Limits(rhat=9))
    assert reasons(noise(), fine=noise() * 0.8) == "a quarter of the step changes the estimate by -20% (allowed 10%)"
    assert "squared distance +67%" in reasons(noise(), distance=np.tile(np.linspace(0, 1, 600), (4, 1)) + 0.5)
    assert reasons(noise(), distance=np.tile(np.linspace(1, 0.1, 600), (4, 1))) == ""
    assert reasons(-noise()) == "the mean loss along the chains is not above the checkpoint's: it is no minimum of this loss"
    assert "effective sample size" in reasons(noise(), limits=Limits(ess=1e4))
    assert "one chain alone" in reasons(noise()[:1])
    assert "effective sample size 0" in reasons(STEADY)
    assert "a loss became infinite or NaN" in reasons(noise() * np.inf)


def test_disagreement_that_batch_noise_hides_is_seen() -> None:
    """Chains that stay apart by a quarter of the noise of single draws: blocks of draws show it."""
    assert "chains disagree" in reasons(noise(shift=0.1, mean=10.0))
