"""Folders of runs whose curves follow from formulas, written by the real writers; for tests and benchmarks of what shows results."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
from torch import nn

from dominoes.data import dealing
from dominoes.data.dominoes import Dominoes
from dominoes.data.probe_sets import probes
from dominoes.runs import execution
from dominoes.spec import KINDS, PROBES, DominoSpec, RunSpec, TrainSpec
from dominoes.training import loop
from dominoes.training.loop import Trained, schedule

K = 10


def trained(spec: RunSpec, kinds: Mapping[str, int], *, diverged: bool = False, size: int = 1000) -> Trained:
    """What a run could have left: each side is one pattern whose onset goes as 1 / its prevalence; counts are drawn by the run's seed."""
    rng = np.random.default_rng(spec.seed)
    n = sum(kinds.values())
    last = -(-n // spec.train.batch) * spec.train.epochs
    steps = np.array(schedule(last, spec.train.measurements))
    seen = steps * spec.train.batch
    shown = {side: (kinds[side] + kinds["both"]) / n for side in ("top", "bottom")}
    fired = {}
    for side, need, ceiling, speed in (("top", 500.0, 0.98, 1.6), ("bottom", 12000.0, 0.6, 1.1)):
        onset = need / max(shown[side], 1e-3) * np.exp(0.1 * rng.standard_normal())
        with np.errstate(divide="ignore"):
            fired[side] = ceiling / (1 + (np.maximum(seen, 1e-9) / onset) ** -speed)
    joint = 1 - (1 - fired["top"]) * (1 - fired["bottom"])
    known = {"top": fired["top"], "bottom": fired["bottom"], "both": joint, "empty": 0 * joint}
    known["conflict"] = fired["top"] * (1 - fired["bottom"] / 2)
    tables, by_class = [], []
    head = {"run": spec.id, "seed": spec.seed, "step": steps, "epoch": seen / n, "samples": seen}
    for split in ("train", "test"):
        for kind in KINDS if split == "train" else PROBES:
            if split == "train" and not kinds[kind]:
                continue
            p = known[kind]
            right = rng.binomial(size, p + (1 - p) / K) / size
            loss = (1 - p) * np.log(K) + 0.01 * rng.random(len(steps))
            agree = {side: right if kind in (side, "both", "conflict") else np.full(len(steps), np.nan) for side in ("top", "bottom")}
            if kind == "conflict":
                agree["bottom"] = np.minimum(1 - right, fired["bottom"] * (1 - fired["top"] / 2))
            values = {"n": size, "loss": loss, "accuracy": right, "agree_top": agree["top"], "agree_bottom": agree["bottom"]}
            tables.append(pd.DataFrame(head | {"split": split, "kind": kind} | values))
            if split == "test":
                label = np.tile(np.arange(K), len(steps))
                values = {"label": label, "n": size // K, "loss": np.repeat(loss, K), "accuracy": np.repeat(right, K)}
                by_class.append(pd.DataFrame({"run": spec.id, "step": np.repeat(steps, K), "kind": kind} | values))
    table, classes = pd.concat(tables, ignore_index=True), pd.concat(by_class, ignore_index=True)
    counts = np.zeros((K + 1, K + 1, K), dtype=np.int64)
    for top in range(K + 1):
        for bottom in range(K + 1):
            answer = top if top < K and (bottom == K or rng.random() < 0.9) else bottom if bottom < K else int(rng.integers(K))
            counts[top, bottom, answer] += 10
    if diverged:
        middle = int(steps[len(steps) // 2])
        table, classes = table[table["step"] <= middle], classes[classes["step"] <= middle]
    return Trained(table, classes, nn.Identity(), int(last), int(last) if diverged else None, {"training": 1.0, "measuring": 0.5}, counts)


def write(specs: Iterable[RunSpec], out: Path, *, diverged: Iterable[str] = (), size: int = 1000, repair: bool = False) -> list[Path]:
    """Write a finished run folder for each spec of embedded sources, as `run.execute` does; `diverged` names ids that broke off."""
    broken = set(diverged)
    folders, dealt, tests = [], {}, {}
    for spec in specs:
        if spec.dataset not in dealt:
            dealt[spec.dataset] = dealing.deal_spec(spec.dataset)
            tests[spec.dataset] = probes(spec.dataset, 20, 0)

        def instead(spec: RunSpec, dominoes: Dominoes, *_: object, **__: object) -> Generator[None, None, Trained]:
            yield
            kinds = {kind: len(dominoes.deal.of_kind(kind)) for kind in KINDS}
            return trained(spec, kinds, diverged=spec.id in broken, size=size)

        with mock.patch.object(loop, "train_by_turns", instead):
            folders.append(execution.execute(spec, dealt[spec.dataset], tests[spec.dataset], out, repair=repair).folder)
    return folders


def sweep(values: Iterable[float], seeds: int, **how: object) -> list[RunSpec]:
    """Specs over the prevalence of the top, with so many seeds each; few thousand dominoes of the embedded sources."""
    train = TrainSpec.model_validate({"epochs": 200, "batch": 64, "measurements": 70} | how)
    return [
        RunSpec(
            dataset=DominoSpec(n=1500, prevalence=(value, 0.6), reliability=(1, 0.9), top="digits", bottom="textures"),
            train=train,
            seed=seed,
        )
        for value in values
        for seed in range(seeds)
    ]
