"""The trainer that a researcher writes first, as the measure of `benchmarks.train`.

A Python list of float pictures and labels, `DataLoader` with batch 64, contiguous memory, ReLU before pooling, `.item()` a batch, and a
full evaluation of training and test set every 100 steps. Evaluation is what tutorials teach: `model.eval()` and `torch.no_grad()`, the
same batch of 64. With `graph=True` it forgets `no_grad`, which earlier research code did; that is reported beside, never as the baseline.
Nothing of `dominoes` is used but the pictures to start from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

Example = tuple[Tensor, int]

BATCH = 64
EVERY = 100


class Detector(nn.Module):
    """Convolution, ReLU, pooling, two linear layers."""

    def __init__(self, classes: int = 10):
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 3)
        self.pool = nn.MaxPool2d(2)
        self.hidden = nn.Linear(32 * 31 * 15, 128)
        self.out = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.conv(x)))
        x = torch.relu(self.hidden(torch.flatten(x, 1)))
        return self.out(x)  # type: ignore[no-any-return]


class Block(nn.Module):
    """Basic residual block."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, stride=1, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut = nn.Sequential()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        y = y + self.shortcut(x)
        return torch.relu(y)


class ResNet8(nn.Module):
    """16, 32, 64 channels, two blocks each."""

    def __init__(self, classes: int = 10):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=1, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(
            Block(16, 16, 1), Block(16, 16, 1), Block(16, 32, 2), Block(32, 32, 1), Block(32, 64, 2), Block(64, 64, 1)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.out = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x))
        return self.out(torch.flatten(self.pool(x), 1))  # type: ignore[no-any-return]


MODELS: dict[str, Callable[[], nn.Module]] = {"detector": Detector, "resnet8": ResNet8}


def loaders(examples: Sequence[Example], *, shuffle: bool = False) -> DataLoader[Example]:
    """Batches of 64."""
    return DataLoader(examples, batch_size=BATCH, shuffle=shuffle)  # type: ignore[arg-type]


def evaluate(model: nn.Module, loader: DataLoader[Example], *, graph: bool = False) -> tuple[float, float]:
    """Mean loss and accuracy over a loader."""
    model.eval()
    loss, correct, count = 0.0, 0, 0
    with torch.set_grad_enabled(graph):
        for pictures, labels in loader:
            answers = model(pictures)
            loss += nn.functional.cross_entropy(answers, labels, reduction="sum").item()
            correct += (answers.argmax(1) == labels).sum().item()
            count += len(labels)
    return loss / count, correct / count


def run(
    name: str,
    train: Sequence[Example],
    test: Sequence[Example],
    *,
    epochs: int,
    every: int = EVERY,
    first: bool = False,
    after: Callable[[int], None] = lambda step: None,
) -> list[tuple[int, float, float, float, float]]:
    """A whole run: rows of step, training loss and accuracy, test loss and accuracy, every `every` steps (0: never) and, if `first`,
    before the first one. `after` is called after each step."""
    model = MODELS[name]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    loader, train_loader, test_loader = loaders(train, shuffle=True), loaders(train), loaders(test)
    history, step, running = [], 0, 0.0
    if first:
        history.append((step, *evaluate(model, train_loader), *evaluate(model, test_loader)))
    for _ in range(epochs):
        for pictures, labels in loader:
            model.train()
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(pictures), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            running += loss.item()
            step += 1
            after(step)
            if every and step % every == 0:
                history.append((step, *evaluate(model, train_loader), *evaluate(model, test_loader)))
    return history
