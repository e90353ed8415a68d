"""Several runs of one shape as one batched network: every step is one piece of work for all of them.

A device that is told of each run's step by itself spends its time on being told: a stack of R runs needs an R-th of the kernels. Weights of
all runs lie in one tensor each, `torch.func.vmap` carries the network over them, and the optimiser, which works element by element, changes
all at once. Sums are made in another order than by a run alone, so numbers differ in the last digits; the deal, the order of dominoes, the
initial weights and the steps that are measured are the run's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from dominoes.data import measuring
from dominoes.data import resident as residents
from dominoes.data.dominoes import Dominoes
from dominoes.data.resident import Resident
from dominoes.spec import Decode, RunSpec, TrainSpec
from dominoes.training import loop
from dominoes.training.device import Device
from dominoes.training.layers import plain_layers
from dominoes.training.levels import Levels, kinds_of
from dominoes.training.loop import Callback, Keep, Trained, schedule
from dominoes.training.models import Network, chosen, initial
from dominoes.training.optimizers import Descent, is_short
from dominoes.training.scorer import Scorer
from dominoes.training.steps import rate_setter, row_batches

# Steps after which a turn ends.
_TURN = 32


def may_stack(spec: RunSpec, dominoes: Dominoes, record: Network) -> bool:
    """Whether a run can be stacked: each step is the same work, and nothing in it looks at a whole network or ends a run early."""
    how = spec.train
    alike = record.static and is_short(how) and how.loss == "cross-entropy" and not how.loss_args and not how.augment
    return alike and how.clip is None and how.decode is Decode.NONE and not Levels(how, kinds_of(dominoes.deal)).asked


@dataclass(eq=False)
class _Member:
    """A run of a stack: its network, whose weights are a slice of the stack's, and what it is trained and measured on."""

    network: nn.Module
    resident: Resident
    scorer: Scorer
    batches: Any
    # The last step at which it was measured.
    measured: int = -1
    seconds: dict[str, float] = field(default_factory=lambda: {"training": 0.0, "measuring": 0.0})


class _Stack:
    """Runs with equal training, equally many dominoes and classes."""

    def __init__(self, how: TrainSpec, count: int, hardware: Device, record: Network):
        self.how, self.count, self.hardware, self.record = how, count, hardware, record
        self.steps = -(-count // how.batch) * how.epochs
        self.due = set(schedule(self.steps, measuring.grid_points(how, count)))
        self.due |= {step for step in how.checkpoint_steps if step <= self.steps}
        self.members: list[_Member] = []
        self.step, self.samples, self.size = 0, 0, 0
        self.broken = False
        self._there: list[_Member] = []

    @property
    def begun(self) -> bool:
        """Whether nobody can join any more."""
        return self.size > 0 or self.broken

    def join(self, spec: RunSpec, dominoes: Dominoes, probes: Mapping[str, Dominoes]) -> _Member:
        """Make what a run has of its own."""
        how = spec.train
        with self.hardware.entered():
            network = initial(how.model, len(dominoes.classes), spec.seed, how.model_args).to(self.hardware.device)
            resident = residents.resident(dominoes.deal, dominoes.sources, self.hardware.device, swap=dominoes.swap, scale=how.input)
            scorer = Scorer(spec, resident, dominoes.deal, probes, self.record)
            batches = row_batches(self.count, how, spec.seed, self.hardware, self.due, False)
        self.members.append(_Member(network, resident, scorer, batches))
        return self.members[-1]

    def leave(self, member: _Member) -> None:
        """It has ended; its slice goes on, and nobody looks at it."""
        self.members.remove(member)

    def begin(self) -> None:
        """Put all weights and statistics into one tensor each, of which every network has its slice."""
        self.size, self._there = len(self.members), list(self.members)
        networks = [member.network for member in self.members]
        with self.hardware.entered():
            self._parameters = {
                name: nn.Parameter(torch.stack([network.get_parameter(name).detach() for network in networks]))
                for name, _ in networks[0].named_parameters()
            }
            self._buffers = {
                name: torch.stack([network.get_buffer(name) for network in networks]) for name, _ in networks[0].named_buffers()
            }
            self._shape = deepcopy(networks[0])
            for number, network in enumerate(networks):
                for name, values in self._parameters.items():
                    network.get_parameter(name).data = values.data[number]
                for name, statistics in self._buffers.items():
                    network.get_buffer(name).data = statistics[number]
            self._descent = Descent(self._parameters.values(), self.how)
            self._rate = rate_setter(self._descent, self.how, self.steps)

    def _answers(self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], pictures: Tensor) -> Tensor:
        found: Tensor = functional_call(self._shape, {**parameters, **buffers}, (pictures,))
        return found

    def advance(self) -> None:
        """A turn: some steps, or up to the next that is measured."""
        began = time.perf_counter()
        self._shape.train()
        with self.hardware.entered(), plain_layers():
            for _ in range(_TURN):
                rows = [next(member.batches) for member in self._there]
                if self._rate is not None:
                    self._rate(self.step)
                self._take(rows)
                self.step += 1
                self.samples += len(rows[0])
                if self.step in self.due:
                    break
            if self.hardware.cuda:
                torch.cuda.current_stream(self.hardware.device).synchronize()
        for member in self._there:
            member.seconds["training"] += (time.perf_counter() - began) / self.size

    def _take(self, rows: list[Tensor]) -> None:
        self._descent.zero_grad()
        pairs = list(zip(self._there, rows, strict=True))
        pictures = torch.stack([member.resident.compose(mine) for member, mine in pairs])
        labels = torch.stack([member.resident.label.index_select(0, mine) for member, mine in pairs])
        with self.hardware.cast():
            answers = vmap(self._answers)(self._parameters, self._buffers, pictures)
            each = nn.functional.cross_entropy(answers.flatten(0, 1), labels.flatten(), reduction="none")
        # The mean of each run, and their sum: no run's gradient has another's loss in it.
        each.view(self.size, -1).mean(1).sum().backward()  # type: ignore[no-untyped-call]
        self._descent.step()

    def measure(self, member: _Member) -> bool:
        """Look at a run's network; False if a loss was not finite."""
        began = time.perf_counter()
        epoch = self.step / -(-self.count // self.how.batch)
        with self.hardware.entered():
            finite = member.scorer.measure(member.network, self.step, epoch, self.samples)
        member.measured = self.step
        member.seconds["measuring"] += time.perf_counter() - began
        return finite


class Stacks:
    """Trains runs of one shape together that come to it one after the other; those that cannot be stacked, each by itself."""

    def __init__(self) -> None:
        self._open: dict[tuple[TrainSpec, int, int], _Stack] = {}

    def turns(
        self,
        spec: RunSpec,
        dominoes: Dominoes,
        probes: Mapping[str, Dominoes],
        hardware: Device,
        *,
        progress: Callable[[int, int], None] = lambda step, steps: None,
        keep: Keep | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Generator[None, None, Trained]:
        """What `loop.train_by_turns` does. A stack begins when all others had a turn and nobody came; where its step fails, the run
        whose turn it was fails, and the others begin again by themselves."""
        record = chosen(spec.train.model)
        if callbacks or not may_stack(spec, dominoes, record):
            return (yield from loop.train_by_turns(spec, dominoes, probes, hardware, progress=progress, keep=keep, callbacks=callbacks))
        key = (spec.train, len(dominoes), len(dominoes.classes))
        stack = self._open.get(key)
        if stack is None or stack.begun:
            stack = self._open[key] = _Stack(spec.train, len(dominoes), hardware, record)
        member = stack.join(spec, dominoes, probes)
        try:
            finite = yield from self._trained(stack, member, progress, keep)
        finally:
            stack.leave(member)
        if finite is None:
            return (yield from loop.train_by_turns(spec, dominoes, probes, hardware, progress=progress, keep=keep))
        if keep is not None and spec.train.checkpoints == "last" and finite:
            keep(stack.step, member.network)
        return Trained(
            *member.scorer.tables(),
            member.network,
            stack.step,
            None if finite else stack.step,
            member.seconds,
            member.scorer.confusion(),
            joint=member.scorer.joint(),
            measures=member.scorer.measures(),
            measuring=measuring.told(spec.train, len(dominoes), halves=record.halves),
            stacked=stack.size,
        )

    def _trained(
        self, stack: _Stack, member: _Member, progress: Callable[[int, int], None], keep: Keep | None
    ) -> Generator[None, None, bool | None]:
        """Whether the run came to its end with finite losses; None if another's step failed."""
        known = quiet = 0
        while not stack.begun:
            # Who comes has its first turn after that of the first, which sees it in the one after.
            quiet = quiet + 1 if known == len(stack.members) else 0
            known = len(stack.members)
            if stack.members[0] is member and quiet == 2:
                stack.begin()
            yield
        while not stack.broken:
            if stack.step in stack.due and member.measured < stack.step:
                if not stack.measure(member):
                    return False
                if keep is not None and (stack.how.checkpoints == "measurements" or stack.step in stack.how.checkpoint_steps):
                    keep(stack.step, member.network)
            if stack.step == stack.steps:
                return True
            # The first leads, once all have looked at the step.
            ready = stack.step not in stack.due or all(each.measured == stack.step for each in stack.members)
            if stack.members[0] is member and ready:
                try:
                    stack.advance()
                except Exception:
                    stack.broken = True
                    raise
            progress(stack.step, stack.steps)
            yield
        return None
