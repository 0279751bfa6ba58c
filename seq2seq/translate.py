"""Translating lines of raw text with a trained model."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from queue import Queue
from threading import Thread

import torch

from seq2seq import recipe
from seq2seq.data.batch import pad
from seq2seq.data.sentences import Part, split_long, split_sentences
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.details import Annotator
from seq2seq.device import resolve_device, tune_memory
from seq2seq.errors import RunError
from seq2seq.forced import force
from seq2seq.model.ensemble import Ensemble
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.pairwise import build_pairwise
from seq2seq.run import CheckpointName, Run
from seq2seq.search.beam import Hypothesis, beam_search
from seq2seq.search.constraints import build_constraints
from seq2seq.search.mbr import Utilities, expected_utilities
from seq2seq.special import EOS
from seq2seq.translation import (
    TranslatedHypothesis,
    Translation,
    join_translations,
    one_line,
)

WINDOW = 2048
"""Lines read before the first is answered."""

MAX_ROWS = 1024
"""Hypotheses searched at a time, at most, whatever the beam."""

MAX_SOURCE_PIECES = 2**14
"""Source pieces read at a time, padding included, so that long lines travel in small company."""

MAX_PIECES = 1000
"""Pieces of a translation, at most, where the recipe doesn't say: a line of thousands of words is
far beyond what a model was trained on, and a model that can't find its end takes its time."""

__all__ = ["TranslatedHypothesis", "Translation", "Translator"]


class Translator:
    """Models that translate together, their tokenizers and search settings.

    Args:
        models: one or more, on the device.
        tokenizers: of each model. Their source sides may differ, the target sides may not.
        decoding: settings.
        device: where the models are.
        longest: source pieces, at most, that the models know from training, if known.
        utilities: of texts against each other, to choose by minimum Bayes risk.
    """

    def __init__(
        self,
        models: Sequence[Seq2Seq],
        tokenizers: Sequence[Tokenizers],
        decoding: recipe.Decoding,
        device: torch.device,
        *,
        longest: int | None = None,
        utilities: Utilities | None = None,
    ) -> None:
        self.ensemble = Ensemble(models)
        self.sources = [each.src for each in tokenizers]
        self.target = tokenizers[0].tgt
        self.decoding = decoding
        self.device = device
        self.longest = longest if decoding.split_long else None
        self.utilities = utilities
        self.num_candidates = decoding.beam_size if utilities else decoding.n_best
        self.constraints = build_constraints(
            decoding.ban_unk, decoding.min_length, decoding.no_repeat_ngram
        )

    @classmethod
    def load(
        cls,
        run_dir: str | Path,
        *,
        ensemble: Sequence[str | Path] = (),
        decoding: recipe.Decoding | None = None,
        device: str | None = None,
        checkpoint: CheckpointName = "best",
    ) -> "Translator":
        """Load from a run directory; settings that aren't given are those of its recipe.

        Args:
            run_dir: the run.
            ensemble: runs that translate together with it.
            decoding: search settings.
            device: name of the device.
            checkpoint: the weights to use, of all runs.

        Raises:
            RunError: there is no trained model in one of the directories, or their target
                vocabularies differ.
            SettingsError: this machine has no such device.
        """
        tune_memory()
        runs = [Run(Path(path)) for path in (run_dir, *ensemble)]
        recipes = [run.load_recipe() for run in runs]
        saved = recipes[0]
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
        longest = min(own.data.max_length for own in recipes)
        decoding = decoding or saved.decoding
        utilities = decoding.mbr and build_pairwise(decoding.mbr, saved.evaluation)
        return cls(
            models, tokenizers, decoding, where, longest=longest, utilities=utilities or None
        )

    @property
    def has_attention(self) -> bool:
        """Whether the (first) model attends to the source, so that words can be aligned."""
        return self.ensemble.models[0].decoder.attention is not None

    def translate(
        self,
        lines: Iterable[str],
        *,
        window: int = WINDOW,
        as_they_come: bool = False,
        details: bool = False,
    ) -> Iterator[Translation]:
        """Translate lines one for one, in their order.

        Args:
            lines: raw text; blank lines stay blank.
            window: lines read before the first is answered. They are sorted by length to be
                searched together; their results don't depend on it.
            as_they_come: answer those that have come instead of waiting until a window is full.
                They are read ahead in another thread.
            details: look at each result once more for the log-probability of each piece, the
                attention and the alignment of words.

        Raises:
            TypeError: `lines` is a single text.
        """
        if isinstance(lines, str):
            raise TypeError("lines: one text; give a list or an iterator of lines")
        chunks = (_arrivals if as_they_come else _windows)(lines, window)
        return self._translate_chunks(chunks, details)

    def _translate_chunks(
        self, chunks: Iterable[Sequence[str]], details: bool
    ) -> Iterator[Translation]:
        start = 0
        for chunk in chunks:
            split = [self._split(line) for line in chunk]
            texts = [part.text for parts in split for part in parts]
            answers = iter(self._translate_texts(texts, details))
            for number, (line, parts) in enumerate(zip(chunk, split, strict=True), start):
                own = list(islice(answers, len(parts)))
                yield join_translations(number, line, parts, own)
            start += len(chunk)

    def _split(self, line: str) -> list[Part]:
        """What of a line is translated by itself, in most cases all of it."""
        split = self.decoding.split_sentences
        parts = split_sentences(line) if split else [Part(line, apart=True)]
        limit = self.longest
        # No text has more pieces than bytes, and one for the space before it.
        if limit is None or len(line) < limit // 4 or len(line.encode()) < limit:
            return parts
        return [
            piece
            for part, size in zip(parts, self._sizes([part.text for part in parts]), strict=True)
            for piece in (split_long(part.text, self._sizes, limit) if size > limit else [part])
        ]

    def _sizes(self, texts: Sequence[str]) -> list[int]:
        """Pieces of each text, for the model that needs most."""
        ids = zip(*(source.encode(texts) for source in self.sources), strict=True)
        return [max(map(len, own)) for own in ids]

    def _translate_texts(self, texts: Sequence[str], details: bool) -> list[Translation]:
        ids = [[[*pieces, EOS] for pieces in source.encode(texts)] for source in self.sources]
        lengths = [max(map(len, sequences)) for sequences in zip(*ids, strict=True)]
        found: dict[int, list[Hypothesis]] = {}
        for batch in self._batches(lengths):
            found |= zip(batch, self._search([[own[i] for i in batch] for own in ids]), strict=True)
        if self.utilities is not None:
            found = {i: self._choose(candidates) for i, candidates in found.items()}
        written = {i: self._write(hypotheses) for i, hypotheses in found.items()}
        if details or self.decoding.replace_unk:
            written = self._look_again(texts, ids, found, written, details)
        empty = [TranslatedHypothesis("", 0.0, 0.0, [])]
        return [
            Translation(
                i,
                text,
                written.get(i, empty),
                self.sources[0].pieces(ids[0][i]) if details and i in found else None,
            )
            for i, text in enumerate(texts)
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
                n_best=self.num_candidates,
                alpha=decoding.length_penalty,
                constraints=self.constraints,
            )

    def _choose(self, candidates: Sequence[Hypothesis]) -> list[Hypothesis]:
        """The candidates that the others agree with most, and how much."""
        assert self.utilities is not None
        texts = self.target.decode([h.tokens for h in candidates])
        log_probs = [h.log_prob for h in candidates]
        scores = expected_utilities(texts, log_probs, self.utilities)
        rated = [replace(h, score=score) for h, score in zip(candidates, scores, strict=True)]
        return sorted(rated, key=lambda h: -h.score)[: self.decoding.n_best]

    def _write(self, hypotheses: Sequence[Hypothesis]) -> list[TranslatedHypothesis]:
        texts = self.target.decode([h.tokens for h in hypotheses])
        return [
            TranslatedHypothesis(one_line(text), h.score, h.log_prob, self.target.pieces(h.tokens))
            for text, h in zip(texts, hypotheses, strict=True)
        ]

    def _look_again(
        self,
        texts: Sequence[str],
        ids: Sequence[Sequence[Sequence[int]]],
        found: Mapping[int, Sequence[Hypothesis]],
        written: Mapping[int, Sequence[TranslatedHypothesis]],
        details: bool,
    ) -> dict[int, list[TranslatedHypothesis]]:
        """What is written, with its details and, if so set, without unknown words."""
        annotator = Annotator(
            self.sources[0], self.target, replace_unk=self.decoding.replace_unk, keep=details
        )
        places = [i for i, hypotheses in found.items() for _ in hypotheses]
        said = [h.tokens + [EOS] * h.complete for own in found.values() for h in own]
        forced = force(self.ensemble, [[own[i] for i in places] for own in ids], said, self.device)
        results, start = {}, 0
        for i, hypotheses in written.items():
            own = slice(start, start + len(hypotheses))
            results[i] = annotator.annotate(texts[i], hypotheses, said[own], forced[own])
            start = own.stop
        return results


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
