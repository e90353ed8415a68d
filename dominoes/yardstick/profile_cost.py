"""What it will cost to sample the networks that runs keep."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool

from dominoes.errors import DominoesError, RunError, brief
from dominoes.yardstick import curvature, learning_coefficient
from dominoes.yardstick.chains import Walk, walk
from dominoes.yardstick.checkpoint_profiles import AMISS, ProfileTask, prepared
from dominoes.yardstick.processes import pool

# Steps that a cost is measured on.
_TRIAL = 5


def cost(wanted: Sequence[ProfileTask]) -> str:
    """What the tasks will take, in a sentence, from a few steps and one search for λ_max at the first that can be sampled.

    They are timed in a process such as those that do the tasks. Raises RunError if that is killed.
    """
    missing = [task for task in wanted if task.kept is None]
    how = wanted[0].request.sampling
    steps = len(missing) * how.chains * how.draws
    said = f"{len(wanted)} checkpoints × localisations, {len(wanted) - len(missing)} done; {how.chains} chains × {how.draws} steps each"
    reasons: dict[str, None] = {}
    with pool(1) as processes:
        for task in missing:
            try:
                timed = processes.submit(_timed, task).result()
            except BrokenProcessPool as error:
                raise RunError("the process in which steps are timed was killed (was there enough memory?)") from error
            except DominoesError:
                raise
            except Exception as error:
                raise RunError(f"a step at {task.folder} fails ({type(error).__name__}: {brief(error)})") from error
            if isinstance(timed, str):
                reasons[timed] = None
                continue
            seconds, around, search = timed
            searches = sum(learning_coefficient.SEARCHES + (each.kappa is not None) for each in missing)
            total = steps * seconds + len(missing) * learning_coefficient.WALKS * around + searches * search
            return (
                f"{said}: {steps:,} steps of {1000 * seconds:.0f} ms and {searches} searches for λ_max of {search:.1f} s, "
                f"{total / 60:.0f} CPU-minutes"
            )
    return f"{said}: " + ("; ".join(f"nothing can be sampled, {reason}" for reason in reasons) or "nothing is left")


def _timed(task: ProfileTask) -> tuple[float, float, float] | str:
    """Processor seconds of a step of one chain, of what a walk does beside its steps, and of a search for λ_max; or why there are no
    chains."""
    try:
        weights, sampled, _, observed, _ = prepared(task)
    except AMISS:
        raise
    except DominoesError as error:
        return str(error)
    how = task.request.sampling

    def walked(steps: int) -> float:
        few = Walk(1.0, 1.0, 1e-9, steps, how.batch, how.every, batched=how.batched)
        start = time.process_time()
        walk(sampled, weights.vector, few, starts=weights.vector[None], observed=observed)
        return time.process_time() - start

    # The losses of all examples at w* are what a walk takes beside its steps.
    short, long = walked(how.every), walked((1 + _TRIAL) * how.every)
    seconds = max(long - short, 0) / (_TRIAL * how.every)
    start = time.process_time()
    curvature.largest(sampled, weights.vector, seed=how.seed)
    return seconds, max(short - how.every * seconds, 0), time.process_time() - start
