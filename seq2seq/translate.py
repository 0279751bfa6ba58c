"""Translating lines of raw text with a trained model."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import torch

from seq2seq import recipe
from seq2seq.data.batch import pad
from seq2seq.data.sentences import Part, split_long, split_sentences
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.device import decoding_precision
from seq2seq.errors import RunError
from seq2seq.model.coverage import Coverage
from seq2seq.model.ensemble import Ensemble
from seq2seq.model.precision import for_search
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.model.shortlist import Shortlister
from seq2seq.parallel import ALONE, World
from seq2seq.run import CheckpointName
from seq2seq.search.build import Search
from seq2seq.search.hypothesis import Hypothesis
from seq2seq.search.requests import Request
from seq2seq.special import EOS, UNK
from seq2seq.translation.choosing import ByAgreement, ByOthers, Choose, load_judges
from seq2seq.translation.details import Annotator
from seq2seq.translation.forced import force
from seq2seq.translation.models import Models, check_pieces
from seq2seq.translation.pairwise import build_pairwise
from seq2seq.translation.parts import search_in_parts
from seq2seq.translation.requests import Requests, Wish, read_wishes
from seq2seq.translation.result import (
    TranslatedHypothesis,
    Translation,
    join_translations,
    one_line,
)
from seq2seq.translation.shortlisting import build_shortlister
from seq2seq.translation.windows import arrivals, batches_of_alike, full_windows

WINDOW = 2048
"""Lines read before the first is answered."""

MAX_ROWS = 1024
"""Hypotheses searched at a time, at most, whatever the beam."""

MAX_LISTED = 64
"""Sentences that share a shortlist, at most: the more there are, the longer it is."""

__all__ = ["TranslatedHypothesis", "Translation", "Translator"]


class Translator:
    """Models that translate together, their tokenizers and search settings.

    Args:
        models: one or more, on the device.
        tokenizers: of each model. Their source sides may differ, the target sides may not.
        decoding: settings.
        device: where the models are.
        weights: by which the models count; by default all alike.
        language_model: which joins them in search, by `decoding.language_model_weight`.
        shortlister: what narrows search down; by default nothing does.
        longest: source pieces, at most, that are translated in one unless `decoding.split_long` is
            off.
        choose: ranks what search finds; by default its scores do.
        world: the processes that share the lines; all are given the same ones.
    """

    def __init__(
        self,
        models: Sequence[Seq2Seq],
        tokenizers: Sequence[Tokenizers],
        decoding: recipe.Decoding,
        device: torch.device,
        *,
        weights: Sequence[float] | None = None,
        language_model: Seq2Seq | None = None,
        shortlister: Shortlister | None = None,
        longest: int | None = None,
        choose: Choose | None = None,
        world: World = ALONE,
    ) -> None:
        precision = decoding_precision(device, decoding.precision)
        self.ensemble = Ensemble(
            [for_search(model, precision) for model in models],
            weights,
            None if language_model is None else for_search(language_model, precision),
            decoding.language_model_weight,
        )
        self.exact = Ensemble(models, weights)
        self.shortlister = shortlister
        self.sources = [each.src for each in tokenizers]
        self.target = tokenizers[0].tgt
        self.decoding = decoding
        self.device = device
        if decoding.coverage_penalty and not any(model.decoder.attention for model in models):
            raise RunError("decoding.coverage_penalty: the model has no attention; set 0")
        if shortlister is not None and any(model.copying is not None for model in models):
            raise RunError("decoding.shortlist: has no part in a model that copies; set 0")
        self.longest = longest if decoding.split_long else None
        self.choose = choose
        self.requests = Requests(decoding, self.sources[0], self.target)
        if choose is not None and not decoding.sampling:
            decoding = decoding.model_copy(update={"n_best": decoding.beam_size})
        self.search = Search(decoding, lambda: self.requests.words)
        self.world = world

    @classmethod
    def load(
        cls,
        run_dir: str | Path,
        *,
        ensemble: Sequence[str | Path] = (),
        weights: Sequence[float] | None = None,
        decoding: recipe.Decoding | None = None,
        device: str | None = None,
        checkpoint: CheckpointName = "best",
        rerank: Sequence[str | Path] = (),
        rerank_weights: Sequence[float] | None = None,
        world: World = ALONE,
    ) -> "Translator":
        """Load from a run directory; settings that aren't given are those of its recipe.

        Args:
            run_dir: the run.
            ensemble: runs that translate together with it.
            weights: of the run and of these, by which they count; by default all alike.
            decoding: search settings.
            device: name of the device.
            checkpoint: the weights to use, of all runs.
            rerank: runs that have a say in which of the translations found is best, see `ByOthers`;
                of the same languages, in either direction, or language models.
            rerank_weights: how much each of these counts; by default 1, as the run itself.
            world: the processes that translate together.

        Raises:
            RunError: there is no trained model in one of the directories, their target
                vocabularies differ, there are more or fewer weights, or runs to rerank with are of
                other languages or have nothing to choose from.
            DataError: the glossary cannot be read, or has words that the models don't know.
            SettingsError: this machine has no such device.
        """
        models = Models.load(
            run_dir, ensemble=ensemble, weights=weights, device=device, checkpoint=checkpoint
        )
        models.must_read_source()
        saved, where = models.recipes[0], models.device
        run, tokenizers = models.runs[0], models.tokenizers[0]
        decoding = decoding or saved.decoding
        shorten = partial(build_shortlister, run, tokenizers, decoding.shortlist, where)
        return cls(
            models.networks,
            models.tokenizers,
            decoding,
            where,
            weights=weights,
            language_model=_load_language_model(models, decoding),
            shortlister=world.in_turn(shorten),
            longest=models.longest,
            choose=_build_choice(models, decoding, rerank, rerank_weights),
            world=world,
        )

    @property
    def has_attention(self) -> bool:
        """Whether the (first) model attends to the source, so that words can be aligned."""
        return self.ensemble.models[0].decoder.attention is not None

    def translate(
        self,
        lines: Iterable[str],
        *,
        prefixes: Iterable[str] | None = None,
        constraints: Iterable[Sequence[str]] | None = None,
        banned: Iterable[Sequence[str]] | None = None,
        window: int = WINDOW,
        as_they_come: bool = False,
        details: bool = False,
        start: int = 0,
    ) -> Iterator[Translation]:
        """Translate lines one for one, in their order.

        Args:
            lines: raw text; blank lines stay blank, whatever is asked.
            prefixes: for each line, what its translation begins with; "" is nothing. Its last word
                may go on, unless the prefix ends with a space. Of a line that is translated in
                parts it is the beginning of the first.
            constraints: for each line, phrases that its translation has as whole words (dynamic
                beam allocation, Post & Vilar 2018); a line that has some is translated as a whole.
            banned: for each line, phrases that its translation doesn't have as whole words. A
                prefix may have them.
            window: lines for each process that are read before the first is answered. They are
                sorted by length to be searched together; their results don't depend on it.
            as_they_come: answer those that have come instead of waiting until a window is full.
                They are read ahead in another thread.
            details: look at each result once more for the log-probability of each piece, the
                attention and the alignment of words.
            start: number of the first line.

        Raises:
            TypeError: `lines` or `prefixes` is a single text.
            ValueError: there are more or fewer prefixes or the like than lines.
            RunError: the model or the way of searching cannot do what is asked.
            DataError: what is asked of a line cannot be produced.
        """
        if isinstance(lines, str) or isinstance(prefixes, str):
            raise TypeError("lines, prefixes: one text; give a list or an iterator of lines")
        self.requests.must_grant(prefixes=prefixes is not None, constraints=constraints is not None)
        wishes = read_wishes(lines, prefixes, constraints, banned, start)
        chunks = (arrivals if as_they_come else full_windows)(wishes, window * self.world.size)
        return self._translate_chunks(chunks, details)

    def _translate_chunks(
        self, chunks: Iterable[Sequence[tuple[str, Wish]]], details: bool
    ) -> Iterator[Translation]:
        for chunk in chunks:
            split = [self._split(line, wish) for line, wish in chunk]
            texts = [part.text for parts in split for part in parts]
            pairs = zip(chunk, split, strict=True)
            wishes = [each for (_, wish), parts in pairs for each in wish.of_parts(len(parts))]
            answers = iter(self._translate_texts(texts, wishes, details))
            for (line, wish), parts in zip(chunk, split, strict=True):
                own = list(islice(answers, len(parts)))
                yield join_translations(wish.line - 1, line, parts, own)

    def _split(self, line: str, wish: Wish) -> list[Part]:
        """What of a line is translated by itself, in most cases all of it."""
        if wish.required:  # nobody knows of which part
            return [Part(line, apart=True)]
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

    def _translate_texts(
        self, texts: Sequence[str], wishes: Sequence[Wish], details: bool
    ) -> list[Translation]:
        ids = [[[*pieces, EOS] for pieces in source.encode(texts)] for source in self.sources]
        lengths = [max(map(len, sequences)) for sequences in zip(*ids, strict=True)]
        requests = self.requests.of(texts, wishes)

        def search(batch: list[int]) -> list[list[Hypothesis]]:
            sources = [[own[i] for i in batch] for own in ids]
            return self._search(sources, [requests[i] for i in batch])

        def search_parts(batch: list[int]) -> list[list[Hypothesis]]:
            found = search_in_parts(search, batch, self.device, lengths, self.search.width)
            if self.choose is not None:
                found = self.choose([texts[i] for i in batch], found)
            return [own[: self.decoding.n_best] for own in found]

        found: dict[int, list[Hypothesis]] = {}
        batches = list(self._batches(lengths, requests))
        for batch, hypotheses in zip(batches, self.world.map(search_parts, batches), strict=True):
            found |= zip(batch, hypotheses, strict=True)
        written = {i: self._write(hypotheses) for i, hypotheses in found.items()}
        if details:
            written = self._look_again(texts, ids, found, written, details)
        elif self.decoding.replace_unk:
            unknown = {i: own for i, own in found.items() if any(UNK in h.tokens for h in own)}
            written |= self._look_again(texts, ids, unknown, written, details)
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

    def _batches(self, lengths: Sequence[int], requests: Sequence[Request]) -> Iterator[list[int]]:
        """Places of the lines that aren't blank, in batches.

        Where there is a shortlist, those of which something is asked, which have none, stand apart.
        """
        most = max(1, min(self.decoding.batch_size, MAX_ROWS // self.search.width))
        places = [i for i, length in enumerate(lengths) if length > 1]
        if self.shortlister is None:
            yield from batches_of_alike(places, lengths, most)
            return
        for asks in (False, True):
            own = [i for i in places if requests[i].asks == asks]
            yield from batches_of_alike(own, lengths, min(most, MAX_LISTED))

    def _search(
        self, ids: Sequence[Sequence[Sequence[int]]], requests: Sequence[Request]
    ) -> list[list[Hypothesis]]:
        """Translate sentences, given by their ids for each model."""
        padded = [pad(own) for own in ids]
        longest = torch.stack([lengths for _, lengths in padded]).amax(dim=0)
        asked = longest, requests, self.device
        with torch.inference_mode():
            sources = [(src.to(self.device), lengths) for src, lengths in padded]
            ensemble, shortlist = self.ensemble, None
            if self.shortlister is not None and not any(request.asks for request in requests):
                shortlist = self.shortlister(sources[0][0])
                ensemble = ensemble.narrow(shortlist.ids)
            state = ensemble.encode(sources, shortlist)
            if self.decoding.coverage_penalty:
                coverage = Coverage(ensemble, self.decoding.coverage_penalty)
                start, bonus = coverage.start(state), coverage.penalties
                found = self.search(coverage.step, start, *asked, bonus=bonus)
            else:
                found = self.search(ensemble.step, state, *asked)
            return found if shortlist is None else _in_full(found, shortlist.ids.tolist())

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
        forced = force(self.exact, [[own[i] for i in places] for own in ids], said, self.device)
        results, start = {}, 0
        for i, hypotheses in found.items():
            own = slice(start, start + len(hypotheses))
            results[i] = annotator.annotate(texts[i], written[i], said[own], forced[own])
            start = own.stop
        return results


def _load_language_model(models: Models, decoding: recipe.Decoding) -> Seq2Seq | None:
    if decoding.language_model is None or decoding.language_model_weight == 0:
        return None
    found = Models.load(decoding.language_model, device=models.device.type)
    if found.recipes[0].model.reads_source:
        raise RunError(
            f"decoding.language_model: {decoding.language_model} translates; name a run of "
            "model.type: language_model"
        )
    check_pieces(found.runs[0], found.tokenizers[0], models.runs[0], models.tokenizers[0])
    return found.networks[0].to(models.device)


def _build_choice(
    models: Models,
    decoding: recipe.Decoding,
    rerank: Sequence[str | Path],
    weights: Sequence[float] | None,
) -> Choose | None:
    if decoding.mbr is not None and not rerank:
        utilities = build_pairwise(decoding.mbr, models.recipes[0].evaluation)
        return ByAgreement(utilities, models.target, sampled=decoding.sampling)
    judges = load_judges(models, rerank, weights)
    if judges and decoding.mbr is not None:
        raise RunError(
            "decoding.mbr: takes what the other translations agree with, and reranking what other "
            "runs do; leave out one"
        )
    key = "n_best" if decoding.sampling else "beam_size"
    if judges and getattr(decoding, key) == 1:
        raise RunError(f"decoding.{key}: there is nothing to rerank; set it above 1")
    return ByOthers(judges, models.target, decoding) if judges else None


def _in_full(found: list[list[Hypothesis]], ids: Sequence[int]) -> list[list[Hypothesis]]:
    """Hypotheses whose tokens are places in a shortlist, with the ids that stand there."""
    return [
        [replace(one, tokens=[ids[place] for place in one.tokens]) for one in hypotheses]
        for hypotheses in found
    ]
