"""The trainer that a researcher writes first, as the measure of `benchmarks.train`.

A Python list of float pictures and labels, `DataLoader` with batch 64, contiguous memory, ReLU before pooling, `.item()` a batch, and a
full evaluation of training and test set every 100 steps. Evaluation is what tutorials teach: `model.eval()` and `torch.no_grad()`, the
same batch of 64. With `graph=True` it forgets `no_grad`, which earlier research code did; that is reported beside, never as the baseline.
Nothing of `dominoes` is used but the pictures to start from.
"""

from __future__ import annotations

import time
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


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: DataLoader[Example],
    after: Callable[[float], bool] = lambda loss: True,
) -> None:
    """An epoch of SGD. `after` gets the loss of each step, and stops the epoch by returning False."""
    for pictures, labels in loader:
        model.train()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(pictures), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if not after(loss.item()):
            return


def run(
    name: str, train: Sequence[Example], test: Sequence[Example], *, epochs: int, every: int = EVERY, lr: float = 0.01, graph: bool = False
) -> list[tuple[int, float, float, float, float]]:
    """A whole run: rows of step, training loss and accuracy, test loss and accuracy, every `every` steps and at the end."""
    model = MODELS[name]()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    loader = DataLoader(train, batch_size=BATCH, shuffle=True)  # type: ignore[arg-type]
    train_loader, test_loader = (DataLoader(each, batch_size=BATCH) for each in (train, test))  # type: ignore[arg-type]
    history: list[tuple[int, float, float, float, float]] = []
    step, last, running = 0, epochs * len(loader), 0.0

    def after(loss: float) -> bool:
        nonlocal step, running
        step, running = step + 1, running + loss
        if step % every == 0 or step == last:
            history.append((step, *evaluate(model, train_loader, graph=graph), *evaluate(model, test_loader, graph=graph)))
        return True

    for _ in range(epochs):
        train_epoch(model, optimizer, loader, after)
    return history


def seconds_of(work: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall seconds of a call."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall
