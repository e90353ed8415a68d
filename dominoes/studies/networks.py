"""Networks of published protocols that are not among the built-in ones; sweep files name them as `dominoes.studies.networks:LeNet`."""

from __future__ import annotations

from torch import Tensor, nn


class LeNet(nn.Module):
    """Two 5×5 convolutions of 32 and 56 filters, each with ReLU and 2×2 max-pooling, then 512 and 256 hidden units: the layer sizes of
    D-BAT's notebook (arXiv 2202.04414). There the last layer has one output; here it has one for each class, as all networks do."""

    def __init__(self, classes: int):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 32, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 56, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
        )
        # 64×32 pictures: (64 − 4)/2 = 30, (30 − 4)/2 = 13; (32 − 4)/2 = 14, (14 − 4)/2 = 5.
        self.hidden = nn.Sequential(nn.Linear(56 * 13 * 5, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU())
        self.out = nn.Linear(256, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.hidden(self.features(x)))  # type: ignore[no-any-return]
