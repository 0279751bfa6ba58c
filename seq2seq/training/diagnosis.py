"""What a model does on the development set, beside being right or wrong.

These measures show models that have gone wrong while the loss looks harmless. Those of outputs are
taken of the references too, for what is wrong in one task is right in another: commands repeat
themselves, and names are copied.

- `source_dependence`: the loss when each line is given the source of a neighbour, over the loss. 1
  means that the source is ignored. Taken on some batches, of `NUM_PAIRS` pairs or half of the set
  if that is less, whose encoder states are there already: 5 % of a validation of the quickstart
  task, and 12 ms in one of 100 words.
- `attention_entropy`: entropy of the attention over that of uniform weights, mean of all tokens of
  these pairs whose source has two pieces at least.
- `identical`: share of outputs that are another's copy; 0 where all differ.
- `repeating`: share of outputs in which up to `LONGEST_LOOP` pieces come `MIN_ROUNDS` times or more
  in a row.
- `copied`: share of the pieces of the outputs that stand in their source, each as often as there.
- `length_ratio`: pieces of all outputs over those of the references.
- `cut`: share of outputs that reached the limit of length without an end.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seq2seq.data.batch import Batch
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.device import autocast
from seq2seq.model.decoder import DecoderState
from seq2seq.model.monotonic import MonotonicAttention
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.special import PAD
from seq2seq.training.cross_entropy import features_loss

NUM_PAIRS = 128
LONGEST_LOOP, MIN_ROUNDS = 4, 4

Lines = Sequence[Sequence[str]]
"""Pieces of lines."""


NOTHING = (0.0, 0.0, 0.0, 0.0)
"""What `source_use` gives of no pairs."""


def count_telling(sizes: Sequence[int]) -> int:
    """How many of the first batches of these sizes it takes to see how the source is used."""
    pairs = np.cumsum([size if size > 1 else 0 for size in sizes])
    return int(np.searchsorted(pairs, min(NUM_PAIRS, sum(sizes) / 2))) + 1


def source_use(
    model: Seq2Seq,
    precision: str,
    batch: Batch,
    start: DecoderState,
    end: DecoderState,
    loss: float,
) -> tuple[float, float, float, float]:
    """See how a model uses the sources of a batch of the development set.

    Args:
        model: the network.
        precision: of its arithmetic, as in the recipe.
        batch: on the model's device.
        start: of the decoder for the batch.
        end: after its targets.
        loss: sum of the batch, nats.

    Returns:
        The loss; what it is when each pair has the source of its neighbour; the sum of
        `relative_entropy` and what it counts. All zero of a pair that has no neighbour.
    """
    device, size = batch.src.device, len(batch.index)
    if size < 2:
        return NOTHING
    neighbours = torch.arange(size, device=device).roll(1)
    with autocast(device, precision):
        decoded = model.decode(batch.tgt_in, start.select(neighbours, neighbours))
    src = batch.src[neighbours]
    shuffled = replace(batch, src=src, src_in=src)
    other = float(features_loss(model, *decoded, shuffled).cross_entropy)
    entropy = count = 0.0
    if end.weights is not None and not _is_hard(model):
        assert end.memory is not None
        real = batch.tgt_out != PAD
        entropy, count = relative_entropy(end.weights, end.memory.mask, real).tolist()
    return loss, other, entropy, count


def source_measures(own: float, other: float, entropy: float, count: float) -> dict[str, float]:
    """`source_dependence` and `attention_entropy`, as far as there is something to measure.

    Args:
        own: sums of what `source_use` gives, in its order, as are the others.
        other: see there.
        entropy: see there.
        count: see there.
    """
    found = {}
    if own or other:
        # Where a loss is as good as zero, noise shall not be what is compared.
        found["source_dependence"] = (other + 1e-3) / (own + 1e-3)
    if count:
        found["attention_entropy"] = entropy / count
    return found


def relative_entropy(weights: Tensor, mask: Tensor, real: Tensor) -> Tensor:
    """Sum and count of entropies of attention, each over that of uniform weights.

    Args:
        weights: (B, T, S).
        mask: real source positions (B, S).
        real: target positions that count, (B, T).
    """
    weights = weights.float()
    entropy = -torch.xlogy(weights, weights).sum(dim=2)
    lengths = mask.sum(dim=1, keepdim=True)
    counts = real & (lengths > 1)
    share = entropy / lengths.clamp(min=2).log()
    return torch.stack((share.masked_fill(~counts, 0).sum(), counts.sum()))


def _is_hard(model: Seq2Seq) -> bool:
    """Whether attention looks at one place at a time by nature."""
    return isinstance(model.decoder.attention, MonotonicAttention)


class OutputMeasures:
    """Measures outputs for the lines of a development set.

    Args:
        sources: raw lines.
        references: their translations.
        tokenizer: of the target side; it cuts all of them to pieces.
        limit: most pieces of an output, end mark counted.
    """

    def __init__(
        self,
        sources: Sequence[str],
        references: Sequence[str],
        tokenizer: Tokenizer,
        limit: int,
    ) -> None:
        self.limit = limit
        self.sources = [Counter(tokenizer.pieces(ids)) for ids in tokenizer.encode(sources)]
        pieces = [tokenizer.pieces(ids) for ids in tokenizer.encode(references)]
        self.length = sum(map(len, pieces))
        own = self._compared(pieces)
        self.of_references = {f"{name}_references": value for name, value in own.items()}

    def __call__(self, outputs: Lines) -> dict[str, float]:
        """All measures of outputs, which answer the sources one by one."""
        return {
            "length_ratio": sum(map(len, outputs)) / max(1, self.length),
            "cut": sum(len(output) >= self.limit for output in outputs) / len(outputs),
            **self._compared(outputs),
            **self.of_references,
        }

    def _compared(self, lines: Lines) -> dict[str, float]:
        """What the references are measured by too."""
        copied = sum(
            (Counter(line) & source).total()
            for line, source in zip(lines, self.sources, strict=True)
        )
        return {
            "identical": 1 - len(set(map(tuple, lines))) / len(lines),
            "repeating": float(_has_loop(lines).mean()),
            "copied": copied / max(1, sum(map(len, lines))),
        }


def _has_loop(lines: Lines) -> npt.NDArray[np.bool_]:
    """Whether some pieces of each line come several times in a row."""
    longest = max(map(len, lines))
    numbers: dict[str, int] = {}
    # Nothing equals what fills up, not even itself some places further on.
    table = -1 - np.tile(np.arange(longest), (len(lines), 1))
    for row, line in zip(table, lines, strict=True):
        row[: len(line)] = [numbers.setdefault(piece, len(numbers)) for piece in line]
    found = np.zeros(len(lines), dtype=np.bool_)
    for size in range(1, LONGEST_LOOP + 1):
        same = table[:, size:] == table[:, :-size]
        run = size * (MIN_ROUNDS - 1)
        if same.shape[1] >= run:
            sums = np.pad(same.cumsum(axis=1), ((0, 0), (1, 0)))
            found |= (sums[:, run:] - sums[:, :-run] == run).any(axis=1)
    return found
