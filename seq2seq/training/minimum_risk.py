"""Training on the model's own translations, by what they are worth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq import recipe
from seq2seq.data.batch import Batch, pad
from seq2seq.device import autocast
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.search.constraints import build_constraints
from seq2seq.search.sample import sample
from seq2seq.special import BOS, EOS, PAD
from seq2seq.training.cross_entropy import decode_in_parts
from seq2seq.training.loss import Loss, token_losses
from seq2seq.training.progress import Progress
from seq2seq.training.teacher_forcing import draw

Ids = Sequence[Sequence[int]]
SentenceScores = Callable[[Ids, Ids], Sequence[float]]
"""(Outputs, their references, both without end marks) -> scores in per cent, up is good."""


@dataclass(frozen=True)
class Candidates:
    """Outputs to choose from, C for each of B sentences.

    Attributes:
        tokens: (B, C, T) with end marks, padded. The first one is the reference.
        costs: (B, C) what is lost with each, from 0 to 1.
        counts: (B, C) False for those that only fill up.
    """

    tokens: Tensor
    costs: Tensor
    counts: Tensor


class MinimumRisk:
    """Expected loss of quality among outputs that the model samples (Shen et al. 2016, section 3).

    The candidates of a sentence are its reference and what was sampled without dropout, each once;
    a sample that is twice as long as the reference (plus 10) is ended there. The sum is over
    sentences.

    Args:
        section: settings.
        seed: of the samples, with epoch and example.
        score: quality of outputs.
    """

    def __init__(self, section: recipe.Training, seed: int, score: SentenceScores) -> None:
        self.section = section
        self.seed = seed
        self.score = score
        self.constraints = build_constraints(ban_unk=True)

    def size(self, batch: Batch) -> int:
        """Sentences."""
        return len(batch.index)

    def __call__(self, model: Seq2Seq, batch: Batch, progress: Progress) -> Loss:
        """See `Objective`."""
        candidates = self._find(model, batch, progress.update)
        log_probs = self._log_probs(model, batch, candidates.tokens)
        risk = expected_risk(log_probs, candidates, self.section.risk_sharpness).sum()
        return Loss(risk, -log_probs[:, 0].detach().sum())

    def _find(self, model: Seq2Seq, batch: Batch, update: int) -> Candidates:
        """Sample candidates and see what they are worth."""
        device, mode = batch.src.device, model.training
        lengths = (batch.tgt_out != PAD).sum(dim=1)
        limits = 2 * lengths + 10
        # Time first: the numbers of an example must not depend on its neighbours' lengths.
        draws = draw(self.seed, update, batch.index, int(limits.max()), self.section.risk_samples)
        model.eval()
        with torch.inference_mode(), autocast(device, self.section.precision):
            sampled = sample(
                model.step,
                model.encode(batch.src, batch.src_lengths),
                limits,
                draws.transpose(1, 2).to(device),
                constraints=self.constraints,
            )
        model.train(mode)
        ends = zip(batch.tgt_out.tolist(), lengths.tolist(), strict=True)
        references = [tuple(ids[: end - 1]) for ids, end in ends]
        found = [
            list(dict.fromkeys([reference, *(tuple(one.tokens) for one in samples)]))
            for reference, samples in zip(references, sampled, strict=True)
        ]
        return self._rate(references, found, device)

    def _rate(
        self,
        references: Sequence[tuple[int, ...]],
        found: Sequence[list[tuple[int, ...]]],
        device: torch.device,
    ) -> Candidates:
        width = max(map(len, found))
        repeated = [ids for ids, row in zip(references, found, strict=True) for _ in row]
        scores = torch.tensor(self.score([ids for row in found for ids in row], repeated))
        sizes = torch.tensor([len(row) for row in found])
        counts = torch.arange(width) < sizes.unsqueeze(1)
        costs = torch.zeros(counts.shape).masked_scatter(counts, 1 - scores.float() / 100)
        filled = [row + [row[0]] * (width - len(row)) for row in found]
        tokens, _ = pad([[*ids, EOS] for row in filled for ids in row])
        shaped = tokens.view(len(found), width, -1)
        return Candidates(shaped.to(device), costs.to(device), counts.to(device))

    def _log_probs(self, model: Seq2Seq, batch: Batch, tokens: Tensor) -> Tensor:
        """Log-probabilities (B, C) of outputs (B, C, T)."""
        said = tokens.flatten(0, 1)
        read = said.roll(1, dims=1).masked_fill(said.roll(1, dims=1) == EOS, PAD)
        read[:, 0] = BOS
        sentences = torch.arange(len(tokens), device=tokens.device)
        with autocast(batch.src.device, self.section.precision):
            state = model.encode(batch.src, batch.src_lengths)
            state = state.select(sentences.repeat_interleave(tokens.shape[1]))
            features, _ = decode_in_parts(model, read, state, self.section.truncate)
        rows, steps = (said != PAD).nonzero(as_tuple=True)
        losses = token_losses(model.output, features[rows, steps], said[rows, steps])
        return -losses.new_zeros(len(said)).index_add(0, rows, losses).view(tokens.shape[:2])


def expected_risk(log_probs: Tensor, candidates: Candidates, sharpness: float) -> Tensor:
    """Mean cost (B,) of candidates that are taken by their probabilities, renormalised.

    Args:
        log_probs: (B, C) of the candidates under the model.
        candidates: with their costs.
        sharpness: exponent of the probabilities, alpha; at 0 all candidates are alike.
    """
    logits = (sharpness * log_probs).masked_fill(~candidates.counts, float("-inf"))
    return (torch.softmax(logits, dim=1) * candidates.costs).sum(dim=1)
