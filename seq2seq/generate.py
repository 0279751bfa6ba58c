"""Text from a language model."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch

from seq2seq import recipe
from seq2seq.device import decoding_precision
from seq2seq.errors import DataError, RunError
from seq2seq.model.ensemble import Ensemble
from seq2seq.model.precision import for_search
from seq2seq.run import CheckpointName
from seq2seq.search.build import Search
from seq2seq.search.requests import Request
from seq2seq.special import UNK
from seq2seq.translation.models import Models
from seq2seq.translation.requests import Requests
from seq2seq.translation.result import TranslatedHypothesis, one_line

WINDOW = 256
"""Texts begun at a time."""


class Generator:
    """Goes on with beginnings of text.

    Args:
        models: language models.
        decoding: how; with `sampling` each text is a function of its beginning's number and the
            seed, else it is the most likely one.
    """

    def __init__(self, models: Models, decoding: recipe.Decoding) -> None:
        if models.recipes[0].model.reads_source:
            raise RunError(
                f"{models.runs[0].path}: is no language model; 'seq2seq translate' translates with "
                "it"
            )
        self.target = models.target
        self.device = models.device
        precision = decoding_precision(models.device, decoding.precision)
        networks = [for_search(network, precision) for network in models.networks]
        self.ensemble = Ensemble(networks, models.weights)
        if decoding.max_length is None:
            longest = min(own.data.max_length for own in models.recipes)
            decoding = decoding.model_copy(update={"max_length": longest})
        requests = Requests(decoding, self.target, self.target)
        self.banned = requests.banned
        self.search = Search(decoding, lambda: requests.words)

    @classmethod
    def load(
        cls,
        run_dir: str | Path,
        decoding: recipe.Decoding,
        *,
        ensemble: Sequence[str | Path] = (),
        weights: Sequence[float] | None = None,
        device: str | None = None,
        checkpoint: CheckpointName = "best",
    ) -> "Generator":
        """Load from run directories, see `Models.load`."""
        models = Models.load(
            run_dir, ensemble=ensemble, weights=weights, device=device, checkpoint=checkpoint
        )
        return cls(models, decoding)

    def generate(self, beginnings: Iterable[str]) -> Iterator[list[TranslatedHypothesis]]:
        """`n_best` texts for each beginning, which may be empty.

        A text goes on where its beginning ends: with the next word, or within the last one.

        Raises:
            DataError: a beginning has words or characters that the model doesn't know, or the model
                writes from the end of texts.
        """
        remaining, start = iter(beginnings), 0
        while chunk := list(islice(remaining, WINDOW)):
            requests = [self._request(start + i, text) for i, text in enumerate(chunk)]
            nothing = torch.ones(len(chunk), 1, dtype=torch.long)
            lengths = torch.ones(len(chunk), dtype=torch.long)
            with torch.inference_mode():
                state = self.ensemble.encode(
                    [(nothing.to(self.device), lengths)] * len(self.ensemble.models)
                )
                found = self.search(self.ensemble.step, state, lengths, requests, self.device)
            for hypotheses in found:
                texts = self.target.decode([one.tokens for one in hypotheses])
                yield [
                    TranslatedHypothesis(
                        one_line(text), one.score, one.log_prob, self.target.pieces(one.tokens)
                    )
                    for text, one in zip(texts, hypotheses, strict=True)
                ]
            start += len(chunk)

    def _request(self, number: int, text: str) -> Request:
        ids = self.target.encode([text])[0]
        if ids and self.target.is_reversed:
            raise DataError(f"{text!r}: the model writes from the end; leave the beginning open")
        if UNK in ids:
            raise DataError(
                f"{text!r}: has words or characters that the model doesn't know; change it"
            )
        return Request(prefix=ids, banned=self.banned, key=number)
