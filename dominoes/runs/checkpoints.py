"""Networks as they were measured, kept in run folders as `checkpoints/STEP.safetensors`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dominoes import files, registry
from dominoes.errors import RunError, brief
from dominoes.runs import state
from dominoes.runs.code import changed
from dominoes.spec import recorded
from dominoes.training.models import initial


def contents(network: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers on the CPU, each in memory of its own, in the usual order."""
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in network.state_dict().items()}


def size(network: nn.Module) -> int:
    """Bytes of a checkpoint, but for a few of its header."""
    return sum(value.numel() * value.element_size() for value in network.state_dict().values())


def write_checkpoint(network: nn.Module, folder: Path, step: int) -> None:
    """Keep a network in a run folder, whole or not at all. Raises OutputError."""
    with files.replacing(folder / checkpoint_name(step)) as temporary:
        save_file(contents(network), temporary)


def checkpoint_name(step: int) -> str:
    """Of the file, in the run folder."""
    return f"{state.CHECKPOINTS}/{step}.safetensors"


def steps_kept(folder: Path) -> list[int]:
    """The steps whose networks a run folder has."""
    return sorted(int(path.stem) for path in (Path(folder) / state.CHECKPOINTS).glob("*.safetensors") if path.stem.isdecimal())


def names_kept(folder: Path, step: int) -> list[str]:
    """Names of the parameters and buffers of the network of a step, in order. Raises RunError if the file cannot be read."""
    path = Path(folder) / state.CHECKPOINTS / f"{step}.safetensors"
    try:
        with safe_open(path, framework="pt") as content:
            return list(content.keys())
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path} cannot be read ({brief(error)}); remove the folder to run it again") from error


def network(folder: Path, step: int | None = None, *, trust: bool = False, accept_changed: bool = False) -> nn.Module:
    """The network of a finished run as it was measured at a step, on the CPU, in evaluation mode.

    Args:
        folder: of the run.
        step: of a checkpoint; None: the last one.
        trust: run the code of a network that the run's spec names by an unpinned reference.
        accept_changed: take code that is not what the run was made with.

    Raises RunError if there is no such checkpoint, it is damaged, or made by other code; RegistryError if the network cannot be had.
    """
    folder = Path(folder)
    there = steps_kept(folder)
    if not there:
        raise RunError(f"{folder} keeps no network; expected a run that was trained with --checkpoints last, measurements or steps")
    step = there[-1] if step is None else step
    if step not in there:
        raise RunError(f"{folder} keeps no network of step {step}; expected one of {', '.join(map(str, there))}")
    content = state.environment(folder)
    try:
        spec = recorded((folder / "spec.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{folder}/spec.json is damaged; remove the folder to run it again") from error
    if not trust:
        registry.refuse_untrusted([("models", spec.train.model)], f"{folder}/spec.json")
    if not accept_changed and (sentence := changed(spec, content.get("code", []))):
        raise RunError(f"{folder} was made with other code: {sentence}; pass accept_changed=True to use it all the same")
    made = initial(spec.train.model, int(content["dominoes"]["classes"]), spec.seed, spec.train.model_args)
    path = folder / checkpoint_name(step)
    known: Any = content["files"].get(checkpoint_name(step), {})
    try:
        if files.sha256(path) != known.get("sha256"):
            raise RunError(f"{path} is not what was written (its SHA-256 differs); remove the folder to run it again")
        made.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise RunError(f"{path} does not fit the network of {folder}/spec.json ({' '.join(str(error).split())[:300]})") from error
    return made.eval()
