"""Training on the model's own translations, by what they are worth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seq2seq import recipe
from seq2seq.data.batch import Batch, pad
from seq2seq.device import autocast
from seq2seq.draws import uniform
from seq2seq.model.decoder import DecoderState
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.search.constraints import build_constraints
from seq2seq.search.sample import sample
from seq2seq.special import BOS, EOS, PAD
from seq2seq.training.cross_entropy import decode_in_parts
from seq2seq.training.loss import Loss, token_losses
from seq2seq.training.predictions import Predictions, joined, predictions_at
from seq2seq.training.progress import Progress

Ids = Sequence[Sequence[int]]
SentenceScores = Callable[[Ids, Ids], Sequence[float]]
"""(Outputs, their references, both without end marks) -> scores in per cent, up is good."""


LENGTH_GROUPS = 4
"""Groups of about equal length in which outputs are read: the longest of all samples is twice as
long as most, so that together they would be half padding."""


@dataclass(frozen=True)
class Candidates:
    """Outputs to choose from, at most C for each of B sentences; the first is the reference.

    Attributes:
        outputs: those of all sentences, one sentence after the other, with end marks.
        taken: (B, C) which places they have.
        counts: (B, C) which ones can be chosen.
        costs: (B, C) what is lost with each, from 0 to 1.
    """

    outputs: Sequence[Sequence[int]]
    taken: Tensor
    counts: Tensor
    costs: Tensor


class MinimumRisk:
    """Expected loss of quality among outputs that the model samples (Shen et al. 2016, section 3).

    The candidates of a sentence are what was sampled without dropout and, if the section wants it,
    the reference, each once; a sample that is twice as long as the reference (plus 10) is ended
    there. The sum is over sentences.

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
        log_probs = self._log_probs(model, batch, candidates)
        risk = expected_risk(log_probs, candidates, self.section.risk_sharpness).sum()
        return Loss(risk, -log_probs[:, 0].detach().sum())

    def _find(self, model: Seq2Seq, batch: Batch, update: int) -> Candidates:
        """Sample candidates and see what they are worth."""
        device, mode = batch.src.device, model.training
        lengths = (batch.tgt_out != PAD).sum(dim=1)
        limits = 2 * lengths + 10
        numbers = np.arange(self.section.risk_samples)[:, None]
        places = batch.index[:, None, None], numbers, np.arange(int(limits.max()))
        draws = torch.from_numpy(uniform(self.seed, "minimum_risk", update, *places))
        model.eval()
        with torch.inference_mode(), autocast(device, self.section.precision):
            sampled = sample(
                model.step,
                model.encode(batch.src_in, batch.src_lengths, batch.src),
                limits,
                draws.to(device),
                constraints=self.constraints,
            )
        model.train(mode)
        ends = zip(batch.tgt_out.tolist(), lengths.tolist(), strict=True)
        references = [tuple(ids[: end - 1]) for ids, end in ends]
        samples = [[tuple(one.tokens) for one in own] for own in sampled]
        return self._rate(references, samples, device)

    def _rate(
        self,
        references: Sequence[tuple[int, ...]],
        samples: Sequence[Sequence[tuple[int, ...]]],
        device: torch.device,
    ) -> Candidates:
        pairs = list(zip(references, samples, strict=True))
        found = [list(dict.fromkeys([reference, *own])) for reference, own in pairs]
        sizes = torch.tensor([len(row) for row in found])
        taken = torch.arange(int(sizes.max())) < sizes.unsqueeze(1)
        counts = taken.clone()
        if not self.section.risk_reference:
            counts[:, 0] = torch.tensor([reference in own for reference, own in pairs])
        repeated = [ids for ids, row in zip(references, found, strict=True) for _ in row]
        scores = torch.tensor(self.score([ids for row in found for ids in row], repeated))
        costs = torch.zeros(taken.shape).masked_scatter(taken, 1 - scores.float() / 100)
        outputs = [[*ids, EOS] for row in found for ids in row]
        return Candidates(outputs, *(part.to(device) for part in (taken, counts, costs)))

    def _log_probs(self, model: Seq2Seq, batch: Batch, candidates: Candidates) -> Tensor:
        """Log-probabilities (B, C) of the outputs, zero where there is none."""
        outputs, taken = candidates.outputs, candidates.taken
        sentences, parts = taken.nonzero()[:, 0], []
        order = np.argsort([len(ids) for ids in outputs], kind="stable")
        with autocast(batch.src.device, self.section.precision):
            start = model.encode(batch.src_in, batch.src_lengths, batch.src)
            for rows in np.array_split(order, min(LENGTH_GROUPS, len(order))):
                owners = sentences[torch.from_numpy(rows)]
                said = pad([outputs[row] for row in rows])[0].to(owners.device)
                state = start.select(owners, owners)
                parts.append(self._read(model, said, state, batch.src[owners]))
        predictions, targets = joined([seen for seen, _ in parts]), [ids for _, ids in parts]
        losses = token_losses(predictions, torch.cat(targets))
        lengths = torch.tensor([len(outputs[row]) for row in order])
        saying = torch.from_numpy(order).repeat_interleave(lengths).to(losses.device)
        sums = losses.new_zeros(len(outputs)).index_add(0, saying, -losses)
        return sums.new_zeros(taken.shape).masked_scatter(taken, sums)

    def _read(
        self, model: Seq2Seq, said: Tensor, state: DecoderState, src: Tensor
    ) -> tuple[Predictions, Tensor]:
        """Predictions at the tokens of outputs (N, T), and these tokens, row by row."""
        read = said.roll(1, dims=1).masked_fill(said.roll(1, dims=1) == EOS, PAD)
        read[:, 0] = BOS
        decoded = decode_in_parts(model, read, state, self.section.truncate)
        places = (said.flatten() != PAD).nonzero().squeeze(1)
        return predictions_at(places, model, *decoded, src), said.flatten()[places]


def expected_risk(log_probs: Tensor, candidates: Candidates, sharpness: float) -> Tensor:
    """Mean cost (B,) of candidates that are taken by their probabilities, renormalised.

    Args:
        log_probs: (B, C) of the candidates under the model.
        candidates: with their costs.
        sharpness: exponent of the probabilities, alpha; at 0 all candidates are alike.
    """
    logits = (sharpness * log_probs).masked_fill(~candidates.counts, float("-inf"))
    return (torch.softmax(logits, dim=1) * candidates.costs).sum(dim=1)
