"""Where a run computes and how exactly: what is asked for, what the device makes of it, and that nothing of it stays behind."""

import os
import warnings

import pytest
import torch

from dominoes.errors import DeviceError
from dominoes.spec import Precision
from dominoes.training import device
from dominoes.training.device import Device, broken, out_of_memory

CPU = torch.device("cpu")


def switches() -> tuple[object, ...]:
    """Every process-wide switch that a device touches."""
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    # The last two are PyTorch's older names, which refuse to answer where they do not agree with the others.
    products = (cuda.matmul.fp32_precision, cudnn.conv.fp32_precision, cuda.matmul.allow_tf32, cudnn.allow_tf32)
    determinism = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory = torch.utils.deterministic.fill_uninitialized_memory
    return *products, *determinism, memory, cudnn.deterministic, cudnn.benchmark, torch.get_num_threads()


def test_what_a_device_makes_of_a_wish() -> None:
    """TF32 is CUDA's; elsewhere it is float32, and says so. A CPU is deterministic whatever is asked; of MPS nothing is promised."""
    assert Device(CPU, Precision.TF32).precision is Precision.FLOAT32
    assert Device(CPU, Precision.BFLOAT16).precision is Precision.BFLOAT16
    assert Device(CPU, deterministic=False).deterministic
    assert not Device(torch.device("mps")).deterministic


def test_cuda_without_reproducible_products_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Determinism that the process cannot have is one sentence, before CUDA is touched."""
    for value in (None, ":0:0"):
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
        if value:
            monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", value)
        with pytest.raises(DeviceError, match=f"needs CUBLAS_WORKSPACE_CONFIG=:4096:8 .* got '{value or ''}'; set it, or pass --no-det"):
            Device(torch.device("cuda"))


def test_every_switch_is_put_back() -> None:
    """Also when something goes wrong inside, and when devices alternate; inside, the switches are those of the device."""
    before = switches()
    try:
        with Device(CPU, threads=1).entered(), device._deterministic(True), device._products("tf32"):
            assert torch.are_deterministic_algorithms_enabled()
            assert torch.backends.cuda.matmul.fp32_precision == torch.backends.cudnn.conv.fp32_precision == "tf32"
            with device._products("ieee"), device._deterministic(False):
                assert torch.backends.cudnn.benchmark
                assert torch.backends.cudnn.conv.fp32_precision == "ieee"
            assert not torch.backends.cudnn.benchmark
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert switches() == before


def test_bfloat16_is_for_forward_passes() -> None:
    """Inside `cast` products are bfloat16 and weights stay float32; other precisions change nothing on a CPU."""
    layer, x = torch.nn.Linear(4, 3), torch.ones(2, 4)
    with Device(CPU, Precision.BFLOAT16).cast():
        assert layer(x).dtype == torch.bfloat16
    with Device(CPU, Precision.TF32).cast():
        assert layer(x).dtype == torch.float32
    assert layer.weight.dtype == torch.float32


def test_without_cuda_nothing_is_recorded_or_moved() -> None:
    """Fallbacks of what CUDA alone has: the call itself, the tensor itself."""
    place, values = Device(CPU), torch.arange(3)
    assert place.recorded(print) is print
    assert place.upload(values) is values is place.download(values)


def test_what_cannot_be_recorded_runs_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph that fails is said once and the call is kept; a full memory is no such failure."""

    class Refusing:
        def __init__(self, *_: object, **__: object) -> None: ...

        def __enter__(self) -> None:
            if self.text:
                raise RuntimeError(self.text)

        def __exit__(self, *_: object) -> None:
            raise torch.AcceleratorError("CUDA error: operation failed due to a previous error during capture")

        text = "operation not permitted when stream is capturing"

    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "graph", Refusing)
    place = Device(CPU)
    place._stream = object()  # type: ignore[assignment]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        assert [place.recorded(print) for _ in range(2)] == [print, print]
    assert len(said) == 1
    assert "cannot be recorded as a CUDA graph (operation not permitted" in str(said[0].message)
    Refusing.text = "CUDA out of memory. Tried to allocate 2.00 GiB"
    with pytest.raises(RuntimeError, match="out of memory"):
        place.recorded(print)
    Refusing.text = ""

    def full() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB")

    # What ending such a recording says would be taken for a device that broke down.
    with pytest.raises(torch.OutOfMemoryError, match=r"Tried to allocate 3.00 GiB"):
        place.recorded(full)


def test_errors_of_the_device_are_told_apart() -> None:
    """A full memory is no breakdown; what a dead context says, by PyTorch's own class or through libraries, is one."""
    full = [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        MemoryError(),
        RuntimeError("CUDA error: out of memory"),
    ]
    full += [RuntimeError("MPS backend out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
    full += [RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")]
    dead = [torch.AcceleratorError("an illegal memory access was encountered"), RuntimeError("CUDA error: device-side assert triggered")]
    dead += [
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
    ]
    for error in full:
        assert (out_of_memory(error), broken(error)) == (True, False), error
    for error in dead:
        assert (out_of_memory(error), broken(error)) == (False, True), error
    for error in (ValueError("bad"), RuntimeError("mat1 and mat2 shapes cannot be multiplied"), OSError(os.strerror(28))):
        assert (out_of_memory(error), broken(error)) == (False, False), error
