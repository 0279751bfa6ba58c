"""Translating lines of raw text with a trained model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from queue import Queue
from threading import Thread

import torch

from seq2seq import recipe
from seq2seq.data.batch import pad
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.device import resolve_device, tune_memory
from seq2seq.errors import RunError
from seq2seq.model.ensemble import Ensemble
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.parallel import ALONE, World
from seq2seq.run import CheckpointName, Run
from seq2seq.search.beam import Hypothesis, beam_search
from seq2seq.search.constraints import build_constraints
from seq2seq.special import EOS

MAX_ROWS = 1024
"""Hypotheses searched at a time, at most, whatever the beam."""

MAX_SOURCE_PIECES = 2**14
"""Source pieces read at a time, padding included, so that long lines travel in small company."""

MAX_PIECES = 1000
"""Pieces of a translation, at most, where the recipe doesn't say: a line of thousands of words is
far beyond what a model was trained on, and a model that can't find its end takes its time."""


@dataclass(frozen=True)
class TranslatedHypothesis:
    """A translation.

    Attributes:
        text: raw text.
        score: what hypotheses are ranked by, log-probability over length penalty.
        log_prob: natural log-probability of the pieces.
        tokens: the pieces.
    """

    text: str
    score: float
    log_prob: float
    tokens: list[str]


@dataclass(frozen=True)
class Translation:
    """The translations of a line, best first; a single empty one of a blank line.

    Attributes:
        line: number of the line, from 0.
        src: the line.
        hypotheses: at least one.
    """

    line: int
    src: str
    hypotheses: list[TranslatedHypothesis]

    @property
    def text(self) -> str:
        """The best translation."""
        return self.hypotheses[0].text


class Translator:
    """Models that translate together, their tokenizers and search settings.

    Args:
        models: one or more, on the device.
        tokenizers: of each model. Their source sides may differ, the target sides may not.
        decoding: settings.
        device: where the models are.
        world: the processes that share the lines; all are given the same ones.
    """

    def __init__(
        self,
        models: Sequence[Seq2Seq],
        tokenizers: Sequence[Tokenizers],
        decoding: recipe.Decoding,
        device: torch.device,
        world: World = ALONE,
    ) -> None:
        self.ensemble = Ensemble(models)
        self.sources = [each.src for each in tokenizers]
        self.target = tokenizers[0].tgt
        self.decoding = decoding
        self.device = device
        self.world = world
        self.constraints = build_constraints(
            decoding.ban_unk, decoding.min_length, decoding.no_repeat_ngram
        )

    @classmethod
    def load(
        cls,
        run_dir: Path,
        *,
        ensemble: Sequence[Path] = (),
        decoding: recipe.Decoding | None = None,
        device: str | None = None,
        checkpoint: CheckpointName = "best",
        world: World = ALONE,
    ) -> "Translator":
        """Load from a run directory; settings that aren't given are those of its recipe.

        Args:
            run_dir: the run.
            ensemble: runs that translate together with it.
            decoding: search settings.
            device: name of the device.
            checkpoint: the weights to use, of all runs.
            world: the processes that translate together.

        Raises:
            RunError: there is no trained model in one of the directories, or their target
                vocabularies differ.
            SettingsError: this machine has no such device.
        """
        tune_memory()
        runs = [Run(path) for path in (run_dir, *ensemble)]
        saved, *_ = [run.load_recipe() for run in runs]
        where = resolve_device(device or saved.device)
        tokenizers = [run.load_tokenizers() for run in runs]
        vocabulary = tokenizers[0].tgt.vocabulary
        for run, own in zip(runs, tokenizers, strict=True):
            if own.tgt.vocabulary != vocabulary:
                raise RunError(
                    f"{run.path}: has another target vocabulary than {run_dir}; train the runs "
                    "of an ensemble with one tokenizer"
                )
        models = [
            run.load_model(own, checkpoint).to(where)
            for run, own in zip(runs, tokenizers, strict=True)
        ]
        return cls(models, tokenizers, decoding or saved.decoding, where, world)

    def translate(
        self, lines: Iterable[str], *, window: int = 2048, as_they_come: bool = False
    ) -> Iterator[Translation]:
        """Translate lines one for one, in their order.

        Args:
            lines: raw text; blank lines stay blank.
            window: lines for each process that are read before the first is answered. They are
                sorted by length to be searched together; their results don't depend on it.
            as_they_come: answer those that have come instead of waiting until a window is full.
                They are read ahead in another thread.
        """
        start = 0
        for chunk in (_arrivals if as_they_come else _windows)(lines, window * self.world.size):
            yield from self._translate_chunk(chunk, start)
            start += len(chunk)

    def _translate_chunk(self, chunk: Sequence[str], start: int) -> list[Translation]:
        ids = [[[*pieces, EOS] for pieces in source.encode(chunk)] for source in self.sources]
        lengths = [max(map(len, sequences)) for sequences in zip(*ids, strict=True)]

        def search(batch: Sequence[int]) -> list[list[Hypothesis]]:
            return self._search([[own[i] for i in batch] for own in ids])

        found: dict[int, list[Hypothesis]] = {}
        batches = list(self._batches(lengths))
        for batch, hypotheses in zip(batches, self.world.map(search, batches), strict=True):
            found |= zip(batch, hypotheses, strict=True)
        empty = [TranslatedHypothesis("", 0.0, 0.0, [])]
        return [
            Translation(start + i, line, self._to_text(found[i]) if i in found else empty)
            for i, line in enumerate(chunk)
        ]

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Places of the lines that aren't blank, long ones first, in batches of similar length."""
        most = max(1, min(self.decoding.batch_size, MAX_ROWS // self.decoding.beam_size))
        order = [
            i for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]) if lengths[i] > 1
        ]
        while order:
            size = max(1, min(most, MAX_SOURCE_PIECES // lengths[order[0]]))
            yield order[:size]
            order = order[size:]

    def _search(self, ids: Sequence[Sequence[Sequence[int]]]) -> list[list[Hypothesis]]:
        """Translate sentences, given by their ids for each model."""
        decoding = self.decoding
        padded = [pad(own) for own in ids]
        longest = torch.stack([lengths for _, lengths in padded]).amax(dim=0)
        limits = (3 * longest + 30).clamp(max=MAX_PIECES)
        if decoding.max_length is not None:
            limits = torch.full_like(limits, decoding.max_length)
        with torch.inference_mode():
            sources = [(src.to(self.device), lengths) for src, lengths in padded]
            return beam_search(
                self.ensemble.step,
                self.ensemble.encode(sources),
                limits.to(self.device),
                beam_size=decoding.beam_size,
                n_best=decoding.n_best,
                alpha=decoding.length_penalty,
                constraints=self.constraints,
            )

    def _to_text(self, hypotheses: Sequence[Hypothesis]) -> list[TranslatedHypothesis]:
        texts = self.target.decode([h.tokens for h in hypotheses])
        return [
            TranslatedHypothesis(text, h.score, h.log_prob, self.target.pieces(h.tokens))
            for text, h in zip(texts, hypotheses, strict=True)
        ]


def _windows(lines: Iterable[str], size: int) -> Iterator[list[str]]:
    remaining = iter(lines)
    while chunk := list(islice(remaining, size)):
        yield chunk


def _arrivals(lines: Iterable[str], size: int) -> Iterator[list[str]]:
    """Each time all lines that have come since, at least one and at most `size`."""
    come: Queue[str | Exception | None] = Queue(size)

    def read() -> None:
        try:
            for line in lines:
                come.put(line)
            come.put(None)
        except Exception as error:  # raised again where the lines are wanted
            come.put(error)

    Thread(target=read, daemon=True).start()
    while True:
        items = [come.get()]
        while len(items) < size and not come.empty():
            items.append(come.get())
        if chunk := [item for item in items if isinstance(item, str)]:
            yield chunk
        if items[-1] is None:
            return
        if isinstance(items[-1], Exception):
            raise items[-1]
