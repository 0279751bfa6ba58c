"""Checkpoints: one safetensors file each, with everything that isn't a tensor as JSON inside.

A file is written aside, synced and renamed, so a checkpoint is whole or not there; digests of its
values and its tensors tell a damaged one. `last` keeps all that a resumed run needs, `best` and
`update-UPDATE` only the weights. Of `last` and `best` the one before is kept too.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from seq2seq.errors import FileError, RunError
from seq2seq.files import digest, previous_path, replacing, told

logger = logging.getLogger(__name__)

FORMAT = 2
"""Version of the layout. Files of the first one have no digests; those of others are refused."""

_BLOCK = 1 << 20
_VALUES, _VALUES_DIGEST, _TENSORS_DIGEST = "values", "values.blake2b", "tensors.blake2b"


class DamagedError(RunError):
    """A checkpoint that isn't what was saved."""


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
    """Copy parameters as `weights_of` names them (without the prefix) into a model.

    Raises:
        RunError: they are those of another model.
    """
    parameters = dict(model.named_parameters())
    if {n: p.shape for n, p in parameters.items()} != {n: w.shape for n, w in weights.items()}:
        raise RunError(
            "checkpoint: its weights don't fit model and tokenizer; take recipe.yaml and the "
            "tokenizer back as they were when it was trained"
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
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
    with told(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
    values = json.dumps(checkpoint.values | {"format": FORMAT})
    tensors = {name: tensor.cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    metadata = {
        _VALUES: values,
        _VALUES_DIGEST: digest(values.encode()),
        _TENSORS_DIGEST: _digest_of(tensors),
    }
    with replacing(path, keep_previous=keep_previous) as partial:
        try:
            save_file(tensors, partial, metadata=metadata)
        except SafetensorError as error:
            raise _system_error(error) from None


def try_room(path: Path, size: int) -> None:
    """Write a checkpoint's bytes aside and remove them: only that asks quotas and limits too.

    Args:
        path: where the checkpoint is to be.
        size: bytes of it.

    Raises:
        FileError: they cannot be written.
    """
    partial, block = path.with_name(f".{path.name}.partial"), os.urandom(_BLOCK)
    with told(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                for start in range(0, size, _BLOCK):
                    file.write(block[: size - start])
        finally:
            partial.unlink(missing_ok=True)


def _digest_of(tensors: Mapping[str, Tensor]) -> str:
    """The digest of names, types, shapes and contents; a tenth of a second for 100 MB."""
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _system_error(error: SafetensorError) -> OSError:
    """What the system said, of which safetensors keeps the number in its text."""
    number = re.search(r"os error (\d+)", str(error))
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(str(error))


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        DamagedError: it isn't what was saved.
        RunError: it is of another version.
        FileError: it cannot be read.
    """
    with _opened(path) as (file, values):
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        expected = file.metadata().get(_TENSORS_DIGEST)
        if values["format"] > 1 and expected != _digest_of(tensors):
            raise SafetensorError("its tensors are not those that were saved")
        return Checkpoint(tensors, values)


def load_values(path: Path) -> dict[str, Any]:
    """Read what isn't a tensor, as `load` does."""
    with _opened(path) as (_, values):
        return values


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    try:
        # For safetensors a file that may not be read is not there.
        with told(path, "read"), path.open("rb"), safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            text = metadata.get(_VALUES, "{}")
            values, noted = json.loads(text), metadata.get(_VALUES_DIGEST)
            if noted != (None if values.get("format") == 1 else digest(text.encode())):
                raise SafetensorError("its values are not those that were saved")
            if values["format"] not in (1, FORMAT):
                raise RunError(
                    f"{path}: is of format {values['format']}, not {FORMAT}; use the version of "
                    "seq2seq that wrote it"
                )
            yield file, values
    except (SafetensorError, ValueError) as error:
        raise DamagedError(
            f"{path}: is damaged ({error}); take a copy of it back, or train anew in another "
            "output_dir"
        ) from None


def load_last(path: Path, *, set_aside: bool = False) -> Checkpoint | None:
    """The newest whole checkpoint: that at `path` or the one before it; None if neither exists.

    Args:
        path: of the newest.
        set_aside: rename a damaged one, for whoever is going to save another in its place: it must
            not become the one before.

    Raises:
        RunError: none of those that exist can be used.
    """
    previous = previous_path(path)
    if not previous.exists():
        return load(path) if path.exists() else None
    if not path.exists():
        logger.warning("%s: is missing; going on with the one before it", path)
        return load(previous)
    try:
        return load(path)
    except DamagedError as error:
        try:
            found = load(previous)
        except DamagedError as other:
            raise DamagedError(_describe_loss(path, error, other)) from None
        logger.warning("%s; going on with the one before it", without_remedy(error))
        if set_aside:
            set_damaged_aside(path)
        return found


def _describe_loss(path: Path, *errors: RunError) -> str:
    """That both generations of a checkpoint are damaged, and what is left."""
    text = f"{', '.join(map(without_remedy, errors))}; take a copy of one of them back, or train "
    text += "anew in another output_dir"
    best = path.with_name("best.safetensors")
    with suppress(RunError, FileError):
        if best != path and best.exists() and load(best):
            text += f" from {best.name}, with training.init_from={path.parent.parent}"
    return text


def without_remedy(error: RunError) -> str:
    """Place and reason of an error, where the remedy is taken already."""
    return str(error).rsplit("; ", 1)[0]


def set_damaged_aside(path: Path) -> None:
    """Rename a checkpoint, so that nothing takes it for one."""
    with told(path, "written"):
        path.replace(path.with_name(f"damaged-{path.name}"))
