"""Gradients by part of the model, and where its numbers first cease to be finite."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.data.batch import Batch
from seq2seq.model.seq2seq import Seq2Seq

PARTS = {
    "output": "output",
    "lexical": "output",
    "copying": "output",
    "decoder": "decoder",
    "decoder.attention": "attention",
    "bridge": "bridge",
    "encoder": "encoder",
    "encoder.embedding": "embeddings",
    "decoder.embedding": "embeddings",
}
"""The part of the model that a module belongs to, in the order in which gradients flow. Shared
weights belong to the embeddings."""


def part_of(name: str) -> str:
    """The part that a module or a parameter belongs to, by its dotted name."""
    pieces = name.split(".")
    return PARTS.get(".".join(pieces[:2])) or PARTS[pieces[0]]


def by_part(model: Seq2Seq) -> dict[str, list[nn.Parameter]]:
    """The parameters of each part that has any, in the order of `PARTS`."""
    found: dict[str, list[nn.Parameter]] = {part: [] for part in PARTS.values()}
    for name, parameter in model.named_parameters():
        found[part_of(name)].append(parameter)
    return {part: parameters for part, parameters in found.items() if parameters}


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """The Euclidean norm of all gradients together, a scalar on their device."""
    parameters = list(parameters)
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return torch.zeros((), device=parameters[0].device)
    return nn.utils.get_total_norm(gradients)


@torch.no_grad()
def first_not_finite(model: Seq2Seq, batches: Iterable[Batch]) -> str:
    """Where numbers first ceased to be finite in an update that failed, in words.

    Args:
        model: with the weights and gradients of that update.
        batches: what it was made from, on the model's device.
    """
    parts = by_part(model)
    for part in reversed(parts):
        if not all(_is_finite(parameter) for parameter in parts[part]):
            return f"the weights of the {part}"
    for batch in batches:
        for name in _not_finite_outputs(model, batch):
            return f"what the {part_of(name)} gives ({name})"
    for part, parameters in parts.items():
        if not all(p.grad is None or _is_finite(p.grad) for p in parameters):
            return f"the gradient of the {part}"
    return "the loss"


def is_finite(model: nn.Module) -> bool:
    """Whether all weights are finite numbers."""
    return all(_is_finite(parameter) for parameter in model.parameters())


def _not_finite_outputs(model: Seq2Seq, batch: Batch) -> Iterator[str]:
    """Modules, in the order in which they end, that don't give finite numbers, without dropout."""
    found: list[str] = []
    hooks = []
    for name, module in model.named_modules():
        if name:

            def look(_: nn.Module, __: Any, given: Any, name: str = name) -> None:
                if not all(map(_is_finite, _tensors(given))):
                    found.append(name)

            hooks.append(module.register_forward_hook(look))
    mode = model.training
    model.eval()
    try:
        features = model(batch.src_in, batch.src_lengths, batch.tgt_in)
        model.output(features[:1])
    finally:
        model.train(mode)
        for hook in hooks:
            hook.remove()
    yield from found


def _tensors(given: Any) -> Iterator[Tensor]:
    """The tensors in what a module gave."""
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, tuple | list):
        for part in given:
            yield from _tensors(part)
    elif hasattr(given, "__dataclass_fields__"):
        yield from _tensors(list(vars(given).values()))


def _is_finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())
