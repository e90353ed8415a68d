"""Networks of published protocols that are not among the built-in ones; sweep files name them as `dominoes.studies.networks:LeNet`."""

from __future__ import annotations

from torch import Tensor, nn


class LeNet(nn.Module):
    """The network of D-BAT's notebook (arXiv 2202.04414): two 5×5 convolutions, of 32 filters (padded by 2) and of 56, with ReLU and
    mean-pooling over 2×2 and 3×3, then 512 and 256 hidden units. There the last layer has one output; here it has one for each class."""

    def __init__(self, classes: int):
        super().__init__()
        first = (nn.Conv2d(3, 32, 5, padding=2), nn.ReLU(), nn.AvgPool2d(2))
        second = (nn.Conv2d(32, 56, 5), nn.ReLU(), nn.AvgPool2d(3))
        self.features = nn.Sequential(*first, *second, nn.Flatten())
        # 64×32 pictures: 64/2 = 32, (32 − 4)/3 = 9; 32/2 = 16, (16 − 4)/3 = 4.
        self.hidden = nn.Sequential(nn.Linear(56 * 9 * 4, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU())
        self.out = nn.Linear(256, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.hidden(self.features(x)))  # type: ignore[no-any-return]
