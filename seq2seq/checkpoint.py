"""Checkpoints: one safetensors file each, with everything that isn't a tensor as JSON inside.

A file is written aside, synced and renamed, so a checkpoint is whole or not there. `last` keeps
all that a resumed run needs, and the one before it; `best` and `best-UPDATE` only the weights.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from seq2seq.errors import RunError
from seq2seq.files import replacing

logger = logging.getLogger(__name__)

FORMAT = 1
"""Version of the layout; a file of another version is refused."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name and JSON values by name."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors below a prefix, without it."""
        start = len(prefix) + 1
        return {k[start:]: v for k, v in self.tensors.items() if k.startswith(prefix + ".")}


def weights_of(model: nn.Module, prefix: str = "model") -> dict[str, Tensor]:
    """The parameters by name, shared ones once."""
    return {f"{prefix}.{name}": p.detach() for name, p in model.named_parameters()}


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy parameters as `weights_of` names them (without the prefix) into a model."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimiser as `optimizer.PARAMETER.NAME`."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{index}.{name}": value
        for index, values in state.items()
        for name, value in values.items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore what `optimizer_tensors` took (without the prefix)."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def save(path: Path, checkpoint: Checkpoint, *, keep_previous: bool = False) -> None:
    """Write a checkpoint in place of the one at `path`, which stays whole until the new one is.

    Args:
        path: the file.
        checkpoint: what to write.
        keep_previous: keep the replaced one as `previous_path(path)`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    values = json.dumps(checkpoint.values | {"format": FORMAT})
    tensors = {name: tensor.cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    with replacing(path) as partial:
        save_file(tensors, partial, metadata={"values": values})
        if keep_previous and path.exists():
            path.replace(previous_path(path))


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        RunError: the file is damaged or of another version.
        FileNotFoundError: there is none.
    """
    with _opened(path) as (file, values):
        return Checkpoint({name: file.get_tensor(name) for name in file.keys()}, values)  # noqa: SIM118


def load_values(path: Path) -> dict[str, Any]:
    """Read what isn't a tensor, as `load` does."""
    with _opened(path) as (_, values):
        return values


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    try:
        with safe_open(path, framework="pt") as file:
            values = json.loads((file.metadata() or {}).get("values", "{}"))
            if values.get("format") != FORMAT:
                raise SafetensorError(f"format {values.get('format')}, not {FORMAT}")
            yield file, values
    except SafetensorError as error:
        raise RunError(
            f"{path}: cannot be used ({error}); name another checkpoint, or train anew"
        ) from None


def load_last(path: Path) -> Checkpoint | None:
    """The newest whole checkpoint: that at `path` or the one before it; None if neither exists.

    Raises:
        RunError: none of those that exist can be used.
    """
    previous = previous_path(path)
    if path.exists() and previous.exists():
        try:
            return load(path)
        except RunError as error:
            logger.warning("%s; going on from the one before it", error)
    newest = previous if previous.exists() else path
    return load(newest) if newest.exists() else None


def previous_path(path: Path) -> Path:
    """Where the generation before `path` is kept."""
    return path.with_name(f"previous-{path.name}")
