"""What of each half can be read off a network: its last layer is fitted again on dominoes whose halves say nothing about each other.

After Kirichenko, Izmailov and Wilson 2022 (arXiv 2204.02937): a network that answers by one half may still have learned the other. Both
halves of the balanced dominoes are shown, and every class of the top comes with every class of the bottom equally often; so nothing of a
half is read off the other.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dominoes.data import measuring
from dominoes.data import resident as residents
from dominoes.data.dealing import deal
from dominoes.data.dominoes import Dominoes
from dominoes.data.resident import Resident
from dominoes.errors import SpecError
from dominoes.solver.solution import solve
from dominoes.solver.stock import Stock, capacity
from dominoes.spec import SIDES, DominoSpec, Split, TrainSpec

# Training dominoes for each of the probe's: more than a last layer has inputs, so that the fit is not of single pictures.
_TIMES = 5
_ITERATIONS = 1000
_BATCH = 250


def balanced(like: Dominoes, split: Split, most: int, seed: int) -> Dominoes:
    """At most so many dominoes of the sources of others, both halves shown, the label the bottom's class, the top's independent of it.

    Raises SpecError if there are too few pictures for any.
    """
    top, bottom = (like.sources[side] for side in SIDES)
    K = len(like.classes)
    request = DominoSpec(prevalence=(1, 1), reliability=(1 / K, 1), top=top.name, bottom=bottom.name, split=split, seed=seed)
    stock = Stock(top.stock, bottom.stock, shared=request.shared)
    n = min(most, capacity(request, stock) or 0)
    if n < K:
        raise SpecError(
            f"decode: the {split.value} pictures make {n} balanced dominoes of {K} classes; expected at least {K}, use other sources"
        )
    return Dominoes(deal(solve(request.model_copy(update={"n": n}), stock), top, bottom), top, bottom, swap=like.swap)


class Decoder:
    """Fits the last layer again, for each half, and says how often it is right on balanced test dominoes."""

    def __init__(self, how: TrainSpec, dominoes: Dominoes, tests: Dominoes, device: torch.device, *, channels_last: bool):
        """
        Args:
            how: its `probe` is the most test dominoes, and a fifth of the most training dominoes; its `probe_seed` deals both.
            dominoes: what is trained on, for its sources.
            tests: a probe, for its sources.
            device, channels_last: as the network has them.

        Raises SpecError: a source is too small.
        """
        self._channels_last, self._classes = channels_last, len(dominoes.classes)
        probe = measuring.probe_size(how, len(dominoes))
        self._sets: list[tuple[Resident, Tensor, dict[str, NDArray[np.int64]]]] = []
        for like, split, most in ((dominoes, Split.TRAIN, _TIMES * probe), (tests, Split.TEST, probe)):
            chosen = balanced(like, split, most, how.probe_seed)
            resident = residents.resident(chosen.deal, chosen.sources, device, swap=chosen.swap, scale=how.input)
            shown = {side: chosen.deal.shown[side] for side in SIDES}
            self._sets.append((resident, torch.arange(len(chosen), device=device), shown))

    def measure(self, network: nn.Module) -> Iterator[tuple[str, str, float]]:
        """For each side its name, `decoded accuracy` and the share of test dominoes whose class on that side is read off rightly; of two
        classes also `decoded accuracy, worst group`, the lowest share over the four pairs of classes (Kirichenko et al.).

        The fit is multinomial logistic regression (scikit-learn, L2 with C = 1) on standardised inputs of the last layer.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from threadpoolctl import threadpool_limits

        (train, train_shown), (test, test_shown) = ((self._inputs(network, resident, rows), shown) for resident, rows, shown in self._sets)
        for side in SIDES:
            # One thread: the last digits of a fit would depend on how many there are.
            with warnings.catch_warnings(), threadpool_limits(1):
                warnings.simplefilter("ignore", ConvergenceWarning)
                model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=_ITERATIONS))
                model.fit(train, train_shown[side])
                right = model.predict(test) == test_shown[side]
            yield side, "decoded accuracy", float(right.mean())
            if self._classes == 2:
                groups = 2 * test_shown["top"] + test_shown["bottom"]
                yield side, "decoded accuracy, worst group", min(float(right[groups == group].mean()) for group in np.unique(groups))

    def _inputs(self, network: nn.Module, resident: Resident, rows: Tensor) -> NDArray[np.float64]:
        """What the last layer is given, rows × its inputs, of the network in evaluation mode."""
        layer = last_layer(network, self._classes)
        found: list[Tensor] = []
        network.eval()
        handle = layer.register_forward_pre_hook(lambda _, given: found.append(given[0].detach().float().cpu()))
        try:
            with torch.no_grad():
                for part in torch.split(rows, _BATCH):
                    network(resident.compose(part, channels_last=self._channels_last))
        finally:
            handle.remove()
        return np.asarray(torch.cat(found).flatten(1).double().numpy())


def last_layer(network: nn.Module, classes: int) -> nn.Linear:
    """The linear layer that gives the answers: the last with as many outputs as there are classes. Raises SpecError if there is none."""
    linear = [module for module in network.modules() if isinstance(module, nn.Linear) and module.out_features == classes]
    if not linear:
        raise SpecError(
            f"decode: {type(network).__name__} has no linear layer with {classes} outputs, no last layer to refit; use decode none"
        )
    return linear[-1]
