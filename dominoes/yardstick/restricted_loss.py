"""A network's loss on some dominoes as a function of one vector of weights: what chains walk on.

The network is in evaluation mode, so that batch normalisation uses the statistics of the checkpoint and the loss of a domino does not
depend on the others of its batch.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from dominoes.data.resident import Resident
from dominoes.errors import SpecError
from dominoes.yardstick.chains import Landscape

ALL_WEIGHTS = "all"


class Weights:
    """The weights of a network that are varied, as one vector; all others stay as they are.

    Attributes:
        names: of the parameters in it.
        vector: their values, one after the other.
    """

    def __init__(self, network: nn.Module, prefix: str = ALL_WEIGHTS):
        """Of the parameters whose names begin with `prefix`, or of all.

        Raises SpecError: no parameter begins so, or batch normalisation has no statistics of its own that belong to these weights.
        """
        for name, module in network.named_modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and (module.momentum is None or not module.track_running_stats):
                which = "cumulative" if module.track_running_stats else "the batch's own"
                raise SpecError(f"{name} normalises by {which} statistics, not by those of these weights; expected running averages")
        self._network = copy.deepcopy(network).eval().requires_grad_(False)
        parameters = dict(self._network.named_parameters())
        chosen = {name: value for name, value in parameters.items() if prefix == ALL_WEIGHTS or name.startswith(prefix)}
        if not chosen:
            raise SpecError(
                f"weights {prefix!r}: no parameter's name begins so; expected {ALL_WEIGHTS} or "
                f"the beginning of one of {', '.join(parameters)}"
            )
        self.names = tuple(chosen)
        self._shapes = [value.shape for value in chosen.values()]
        self._sizes = [value.numel() for value in chosen.values()]
        self.vector = torch.cat([value.detach().reshape(-1) for value in chosen.values()])

    def loss(self, resident: Resident, rows: Tensor) -> Landscape:
        """Cross-entropy, in nats, of some of a dataset's dominoes."""

        def take(numbers: Tensor) -> tuple[Tensor, ...]:
            which = rows.index_select(0, numbers)
            return resident.compose(which), resident.label.index_select(0, which)

        return Landscape(self._losses, len(rows), take)

    def _losses(self, vector: Tensor, pictures: Tensor, labels: Tensor) -> Tensor:
        # One split: its gradient is one concatenation, where that of slices would be a vector of zeros each.
        parts = torch.split(vector, self._sizes)
        values = {name: part.view(shape) for name, part, shape in zip(self.names, parts, self._shapes, strict=True)}
        # Attention by matrix products: fused kernels have no second derivative, which the largest curvature needs.
        with sdpa_kernel(SDPBackend.MATH):
            answers = torch.func.functional_call(self._network, values, (pictures,))
        return nn.functional.cross_entropy(answers, labels, reduction="none")
