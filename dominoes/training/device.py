"""Where and how exactly a run computes: its device, its own stream of work there, and what may be traded for speed.

Several runs of one process take turns (`packing`), so every process-wide switch is set on the way in and put back on the way
out.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor

from dominoes.errors import DeviceError
from dominoes.spec import Precision

# Workspaces with which NVIDIA promises that matrix products are the same in every run.
_REPRODUCIBLE = (":4096:8", ":16:8")
# What a dead device says, by itself and through its libraries.
_BROKEN = re.compile(r"CUDA error|CUBLAS_STATUS_|CUDNN_STATUS_|cuDNN error")
_FULL = re.compile(r"out of memory|ALLOC_FAILED|can't allocate memory")

T = TypeVar("T")


class Device:
    """A run's place on a device.

    Attributes:
        device: where it computes.
        deterministic: whether every rerun on this kind of machine gives the same bits. A CPU does anyway; CUDA pays for it with slower
            kernels; of MPS nothing is known, so it is False there.
        cuda: whether that is CUDA.
        threads: of the CPU.
        graphs: whether work that is repeated is recorded once (`recorded`).
        precision: what the device makes of the precision that was asked for: tf32 is float32 on anything but CUDA.
    """

    def __init__(self, device: torch.device, precision: Precision = Precision.FLOAT32, *, deterministic: bool = True, threads: int = 1):
        """Raises DeviceError if reproducible numbers are asked of CUDA in a process that was not started for them."""
        self.device = device
        self.cuda = self.graphs = device.type == "cuda"
        self.deterministic = deterministic if self.cuda else device.type == "cpu"
        self.precision = Precision.FLOAT32 if precision is Precision.TF32 and not self.cuda else precision
        self.threads = threads
        chosen = os.environ.get("CUBLAS_WORKSPACE_CONFIG", "")
        if self.cuda and deterministic and chosen not in _REPRODUCIBLE:
            raise DeviceError(
                "deterministic training on CUDA needs CUBLAS_WORKSPACE_CONFIG=:4096:8 in the environment before CUDA is used, got "
                f"'{chosen}'; set it, or pass --no-deterministic"
            )
        self._stream = torch.cuda.Stream(device) if self.cuda else None  # type: ignore[no-untyped-call]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Work on the device's stream with its numerics."""
        with ExitStack() as stack:
            stack.enter_context(_kept(torch.get_num_threads, torch.set_num_threads, self.threads))
            if self.cuda:
                stack.enter_context(torch.cuda.stream(self._stream))
                stack.enter_context(_deterministic(self.deterministic))
                stack.enter_context(_products("ieee" if self.precision is Precision.FLOAT32 else "tf32"))
            yield

    def cast(self) -> AbstractContextManager[object]:
        """Inside: forward passes of training, in bfloat16 if that is the precision. Measuring stays outside."""
        if self.precision is not Precision.BFLOAT16:
            return nullcontext()
        # Every weight is cast once a step, so a cache gains nothing, and what it keeps must not outlive the recording of a graph.
        return torch.autocast(self.device.type, dtype=torch.bfloat16, cache_enabled=False)

    def upload(self, values: Tensor) -> Tensor:
        """A CPU tensor on the device, without waiting for it to arrive."""
        return values.pin_memory().to(self.device, non_blocking=True) if self.cuda else values.to(self.device)

    def download(self, values: Tensor) -> Tensor:
        """A tensor of the device on the CPU; on CUDA its content is there only when an event recorded after this has passed."""
        return values.to("cpu", non_blocking=self.cuda)

    def wait(self) -> None:
        """Until the device has done all that it was told on this stream."""
        if self._stream is not None:
            self._stream.synchronize()

    def recorded(self, call: Callable[[], T]) -> Callable[[], T]:
        """The call as one piece of work that the device repeats by itself: a CUDA graph. Elsewhere the call as it is.

        It must have been made once before on this device, must take its input from tensors that stay, and gives the same tensors each
        time, with new content. If it cannot be recorded it stays an ordinary call, which is said once.
        """
        if self._stream is None:
            return call
        graph = torch.cuda.CUDAGraph()
        try:
            # Its memory is its own: graphs that share a pool must not be replayed at the same time.
            with torch.cuda.graph(graph, stream=self._stream):
                result = call()
        except RuntimeError as error:
            # To end a recording in which memory was missing can be an error of its own, which hides the first one.
            for each in (error, error.__context__):
                if each is not None and out_of_memory(each):
                    raise each from None
            reason = " ".join(str(error).split())[:200]
            warnings.warn(f"a step cannot be recorded as a CUDA graph ({reason}); it runs kernel by kernel", RuntimeWarning, stacklevel=2)
            return call

        def replay() -> T:
            graph.replay()
            return result

        return replay


class NoiseStream:
    """A stream of its own for what draws from PyTorch's global generators, such as dropout; they are left as they were."""

    def __init__(self, seed: int, device: torch.device):
        self._seed: int | None = seed
        self._states: list[Tensor] = []
        self._generators = [torch] + ([] if device.type == "cpu" else [torch.get_device_module(device)])

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Inside, the stream goes on where it was left."""
        before = self._get()
        try:
            if self._seed is None:
                self._put(self._states)
            else:
                # Those of other devices are nobody's here, and stay: `torch.manual_seed` would set them all.
                torch.default_generator.manual_seed(self._seed)
                for module in self._generators[1:]:
                    module.manual_seed(self._seed)
                self._seed = None
            yield
        finally:
            self._states = self._get()
            self._put(before)

    def _get(self) -> list[Tensor]:
        return [module.get_rng_state() for module in self._generators]

    def _put(self, states: list[Tensor]) -> None:
        for module, state in zip(self._generators, states, strict=True):
            module.set_rng_state(state)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device, or the machine, has no memory left."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or bool(_FULL.search(str(error)))


def broken(error: BaseException) -> bool:
    """Whether after this error the device answers nothing in this process any more, whoever asks."""
    return not out_of_memory(error) and (isinstance(error, torch.AcceleratorError) or bool(_BROKEN.search(str(error))))


@contextmanager
def _kept(get: Callable[[], T], put: Callable[[T], Any], value: T) -> Iterator[None]:
    before = get()
    put(value)
    try:
        yield
    finally:
        put(before)


@contextmanager
def _deterministic(wanted: bool) -> Iterator[None]:
    """Only algorithms that repeat themselves bit for bit, or else whichever is fastest here."""
    cudnn: Any = torch.backends.cudnn
    memory: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    flags = cudnn.deterministic, cudnn.benchmark, memory.fill_uninitialized_memory
    try:
        torch.use_deterministic_algorithms(wanted)
        cudnn.deterministic, cudnn.benchmark = wanted, not wanted
        # Whatever is left empty here is written before it is read; to fill it too would cost a kernel each time.
        memory.fill_uninitialized_memory = False
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cudnn.deterministic, cudnn.benchmark, memory.fill_uninitialized_memory = flags


@contextmanager
def _products(precision: str) -> Iterator[None]:
    """How float32 is multiplied: `ieee`, or `tf32`, inputs rounded to ten bits."""
    cuda: Any = torch.backends.cuda
    cudnn: Any = torch.backends.cudnn
    places = (cuda.matmul, cudnn.conv)
    before = [place.fp32_precision for place in places]
    try:
        for place in places:
            place.fp32_precision = precision
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.fp32_precision = value


def device_of(name: str) -> torch.device:
    """The device called `auto` (the best there is), `cpu`, `cuda` or `mps`. Raises DeviceError where it is missing."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, usable in there.items() if usable))
    if not there.get(name, False):
        usable = ", ".join(device for device, found in there.items() if found)
        raise DeviceError(f"device {name} is not available here; usable are {usable}: pass --device auto")
    return torch.device(name)
