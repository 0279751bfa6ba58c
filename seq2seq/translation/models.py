"""Trained models that predict together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from seq2seq.data.tokenizer import Tokenizer, Tokenizers
from seq2seq.device import resolve_device, tune_memory
from seq2seq.errors import RunError
from seq2seq.model.ensemble import Ensemble
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.recipe import Recipe
from seq2seq.run import CheckpointName, Run

STRETCH = 1.5
"""Models are good at sources that are so many times as long as the longest of their training.

One of 9 minutes on Multi30k's tokenised pairs of up to 13 pieces has, on lines of its development
and 2016 test sets, this BLEU whole and in parts of up to 19 pieces (up to 13 for the first two): 14
to 16 pieces 25.4 and 20.8, 17 to 19 19.7 and 19.6, 20 to 22 13.8 and 16.0, 27 to 32 6.6 and 13.9.
French pronunciation learnt from words of up to 7 letters, words right of 100 in the development
set: 11 letters and more 7.1 whole, 26.0 in parts of up to 10. One run each.
"""


@dataclass(frozen=True)
class Models:
    """The models of runs, all with the same target pieces.

    Attributes:
        runs: where they come from.
        recipes: of each.
        tokenizers: of each; their source sides may differ.
        networks: of each, on the device.
        weights: by which they count; None for all alike.
        device: where they are.
        longest: pieces of a source, at most, that they are good at.
    """

    runs: list[Run]
    recipes: list[Recipe]
    tokenizers: list[Tokenizers]
    networks: list[Seq2Seq]
    weights: Sequence[float] | None
    device: torch.device
    longest: int

    @classmethod
    def load(
        cls,
        run_dir: str | Path,
        *,
        ensemble: Sequence[str | Path] = (),
        weights: Sequence[float] | None = None,
        device: str | None = None,
        checkpoint: CheckpointName = "best",
    ) -> "Models":
        """Load from run directories.

        Args:
            run_dir: the first run.
            ensemble: those that predict together with it.
            weights: of the run and of these.
            device: name of the device; by default that of the first recipe.
            checkpoint: the weights to use, of all runs.

        Raises:
            RunError: there is no trained model in one of the directories, they are of two kinds,
                or translate in two directions, their target vocabularies differ, there are more or
                fewer weights, or one isn't positive.
            SettingsError: this machine has no such device.
        """
        if weights is not None and len(weights) != 1 + len(ensemble):
            raise RunError(
                f"{run_dir}: {len(weights)} weights for {1 + len(ensemble)} runs; give one for each"
            )
        if weights is not None and not all(0 < weight < math.inf for weight in weights):
            raise RunError(f"{run_dir}: weights {list(weights)}; give positive numbers")
        tune_memory()
        runs = [Run(Path(path)) for path in (run_dir, *ensemble)]
        recipes = [run.load_recipe() for run in runs]
        where = resolve_device(device or recipes[0].device)
        tokenizers = [run.load_tokenizers() for run in runs]
        for run, recipe, own in zip(runs, recipes, tokenizers, strict=True):
            if recipe.model.reads_source != recipes[0].model.reads_source:
                raise RunError(
                    f"{run.path}: has model.type {recipe.model.type}, {runs[0].path} "
                    f"{recipes[0].model.type}; only models of one type are an ensemble"
                )
            check_pieces(run, own, runs[0], tokenizers[0])
            run.check_direction("ensemble", recipes[0].data.src, recipes[0].data.tgt)
        networks, lengths = [], []
        for run, own in zip(runs, tokenizers, strict=True):
            saved = run.load_checkpoint(checkpoint)
            networks.append(run.build_model(own, saved).to(where))
            lengths.append(run.longest_source(saved))
        longest = int(STRETCH * min(lengths))
        return cls(runs, recipes, tokenizers, networks, weights, where, longest)

    def must_read_source(self) -> None:
        """See that they translate.

        Raises:
            RunError: they are language models.
        """
        if not self.recipes[0].model.reads_source:
            raise RunError(
                f"{self.runs[0].path}: is a language model and translates nothing; 'seq2seq "
                "generate' writes text with it, 'seq2seq probability' says how likely text is"
            )

    @cached_property
    def exact(self) -> Ensemble:
        """All of them, in the arithmetic of training."""
        return Ensemble(self.networks, self.weights)

    @property
    def sources(self) -> list[Tokenizer]:
        """What each reads the source with."""
        return [each.src for each in self.tokenizers]

    @property
    def target(self) -> Tokenizer:
        """What their output is written with."""
        return self.tokenizers[0].tgt


def check_pieces(run: Run, own: Tokenizers, first: Run, others: Tokenizers) -> None:
    """See that a run has the target pieces of another.

    Raises:
        RunError: it has others, or writes them in the other direction.
    """
    if own.tgt.vocabulary != others.tgt.vocabulary:
        raise RunError(
            f"{run.path}: has another target vocabulary than {first.path}; train the runs of an "
            "ensemble with one tokenizer"
        )
    if own.tgt.is_reversed != others.tgt.is_reversed:
        raise RunError(
            f"{run.path}: writes in the other direction than {first.path}; give both the same "
            "data.reverse_tgt"
        )
