"""What models say of given outputs, found in one teacher-forced pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seq2seq.data.batch import pad
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.model.ensemble import Ensemble
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.special import BOS, EOS
from seq2seq.translation.parts import read_in_parts

Ids = Sequence[Sequence[int]]

MAX_POSITIONS = 2**13
"""Target pieces read at a time, padding included."""

MAX_PREDICTIONS = 2**10
"""Pieces whose distributions over the vocabulary are held at a time."""


@dataclass(frozen=True)
class Forced:
    """An output as the models see it.

    Attributes:
        log_probs: natural log-probability of each id.
        weights: (T, S) attention of the first model, for each id over the source ids; absent
            without attention.
    """

    log_probs: list[float]
    weights: npt.NDArray[np.float32] | None


class Predictor(Protocol):
    """Models that predict together, as `Models` and a `Translator` are."""

    @property
    def exact(self) -> Ensemble:
        """In the arithmetic of training."""

    @property
    def sources(self) -> Sequence[Tokenizer]:
        """What each of them reads the source with."""

    @property
    def target(self) -> Tokenizer:
        """Of their output."""

    @property
    def device(self) -> torch.device:
        """Where they are."""


def force_texts(
    models: Predictor, pairs: Sequence[tuple[str, str]]
) -> list[tuple[list[int], Forced]]:
    """Read given translations, in the pieces that the tokenizer makes of them.

    Args:
        models: what reads; language models ignore the source.
        pairs: source and target texts.

    Returns:
        Ids of each target with its end mark, and what is held of them.
    """
    texts = [src for src, _ in pairs]
    sources = [[[*ids, EOS] for ids in own.encode(texts)] for own in models.sources]
    targets = [[*ids, EOS] for ids in models.target.encode([tgt for _, tgt in pairs])]
    found = force(models.exact, sources, targets, models.device)
    return list(zip(targets, found, strict=True))


@torch.inference_mode()
def force(
    ensemble: Ensemble, sources: Sequence[Ids], targets: Ids, device: torch.device
) -> list[Forced]:
    """Read outputs and see what is held of each id, given those before it.

    Args:
        ensemble: the models, on the device.
        sources: for each model the source ids of each output, with end marks.
        targets: ids of the outputs, with an end mark only where it is meant.
        device: where the models are.

    Raises:
        RunError: memory does not suffice for a single output.
    """

    def read(rows: list[int]) -> list[Forced]:
        own = [[ids[i] for i in rows] for ids in sources]
        return _force(ensemble, own, [targets[i] for i in rows], device)

    lengths = [*map(len, sources[0])], [*map(len, targets)]
    found = [Forced([], None)] * len(targets)
    for rows in _batches(targets, sources[0]):
        results = read_in_parts(read, rows, device, *lengths)
        for i, one in zip(rows, results, strict=True):
            found[i] = one
    return found


def _batches(targets: Ids, sources: Ids) -> Iterator[list[int]]:
    """Places of outputs of similar length, long ones first."""
    order = [i for i, ids in enumerate(targets) if ids]
    order.sort(key=lambda i: (-len(targets[i]), -len(sources[i])))
    while order:
        size = min(len(order), max(1, MAX_POSITIONS // len(targets[order[0]])))
        # Sources are as long as they like.
        while size > 1 and size * max(len(sources[i]) for i in order[:size]) > MAX_POSITIONS:
            size //= 2
        yield order[:size]
        order = order[size:]


def _force(
    ensemble: Ensemble, sources: Sequence[Ids], targets: Ids, device: torch.device
) -> list[Forced]:
    said, lengths = pad(targets)
    read, _ = pad([[BOS, *ids[:-1]] for ids in targets])
    real = torch.arange(said.shape[1]) < lengths.unsqueeze(1)
    said, read, real = said.to(device), read.to(device), real.to(device)
    total, weights = None, None
    for model, share, own in zip(ensemble.models, ensemble.log_shares, sources, strict=True):
        src, src_lengths = pad(own)
        log_probs, seen = _read(model, src.to(device), src_lengths, read, said, real)
        log_probs = log_probs + share
        weights = seen if total is None else weights
        total = log_probs if total is None else torch.logaddexp(total, log_probs)
    assert total is not None
    reduction = ensemble.models[0].encoder.reduction
    parts = torch.split(total, lengths.tolist())
    maps = [None] * len(targets) if weights is None else weights.cpu().numpy()
    sizes = zip(lengths.tolist(), map(len, sources[0]), strict=True)
    return [
        Forced(part.tolist(), None if seen is None else spread(seen[:size], reduction, src_size))
        for part, seen, (size, src_size) in zip(parts, maps, sizes, strict=True)
    ]


def spread(
    weights: npt.NDArray[np.float32], reduction: int, src_size: int
) -> npt.NDArray[np.float32]:
    """Weights of encoder states (T, S') as weights of the source ids (T, src_size) that they read.

    Ids that were read together share alike.
    """
    states = np.arange(src_size) // reduction
    return np.asarray(weights[:, states] / np.bincount(states)[states], dtype=np.float32)


def _read(
    model: Seq2Seq, src: Tensor, src_lengths: Tensor, read: Tensor, said: Tensor, real: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Log-probabilities (P,) of the real ids in `said` (B, T), row by row; weights (B, T, S)."""
    features, state = model.decode(read, model.encode(src, src_lengths))
    seen, wanted = features[real], said[real]
    parts = zip(
        torch.split(seen, MAX_PREDICTIONS), torch.split(wanted, MAX_PREDICTIONS), strict=True
    )
    log_probs = torch.cat([_log_probs(model.output(part), ids) for part, ids in parts])
    if model.copying is not None:
        assert state.weights is not None
        generate, copied = model.copying.score(features, state.weights, src, said)
        log_probs = torch.logaddexp(generate[real] + log_probs, copied[real])
    return log_probs, None if state.weights is None else state.weights.float()


def _log_probs(logits: Tensor, ids: Tensor) -> Tensor:
    """Those of ids (P,) by logits (P, V)."""
    return torch.log_softmax(logits.float(), dim=-1).gather(1, ids.unsqueeze(1)).squeeze(1)
