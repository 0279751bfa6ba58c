"""Training pairs as they come: read, cleaned and encoded a chunk at a time, without end.

A chunk is a function of its place in the stream, which is small and goes into checkpoints: so a run
goes on with the chunk that it was in, and reads no other again. While one chunk is in use a thread
makes the next one; more than these two are never in memory.
"""

import logging
import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from seq2seq import recipe
from seq2seq.data.clean import Ledger
from seq2seq.data.corpus import Pair, read_corpus
from seq2seq.data.cursor import Cursor
from seq2seq.data.encoding import PAIRS_PER_BATCH, ChunkEncoder, EncodedCorpus, Sampling
from seq2seq.data.noise import Noise
from seq2seq.data.parallel import map_in_order
from seq2seq.errors import DataError

logger = logging.getLogger(__name__)

Place = dict[str, Any]
"""A place in a stream, in values of JSON."""

NUM_FIRST = 1_000_000
"""Pairs from which tokenizers are trained and defaults chosen."""

GIVE_UP = 1_000_000
"""Pairs of which none is kept that end training."""


class PairStream:
    """Pairs of corpora in turns, beginning anew when all of them have ended.

    Each turn is of the corpus that has given least for its weight. With weights a corpus that ends
    begins anew at once, so that the stream is one endless pass.

    Args:
        data: Corpora, weights and languages.
        place: What `save` gave; None for the beginning.

    Attributes:
        turn: Passes that are complete.
        number: Pairs that were read in this one.
    """

    def __init__(self, data: recipe.Data, place: Place | None = None) -> None:
        self._data = data
        self._weights = data.weights or (1.0,) * len(data.train)
        if place is None:
            self.turn = -1
            self._begin()
        else:
            self.turn, self.number = place["turn"], place["number"]
            self._taken = list(place["taken"])
            self._open([Cursor.load(saved) for saved in place["cursors"]])

    def save(self) -> Place:
        """The place behind the last pair."""
        return {
            "turn": self.turn,
            "number": self.number,
            "taken": list(self._taken),
            "cursors": [cursor.save() for cursor in self._cursors],
        }

    def take(self, limit: int) -> list[Pair]:
        """The next pairs of a pass, fewer than the limit only at its end, even none."""
        if not self._left:
            self._begin()
        pairs: list[Pair] = []
        while len(pairs) < limit and self._left:
            corpus = min(self._left, key=lambda i: (self._taken[i] + 1) / self._weights[i])
            pair = next(self._readers[corpus], None)
            if pair is not None:
                pairs.append(pair)
                self._taken[corpus] += 1
            elif self._data.weights is None:
                self._left.remove(corpus)
            else:
                self._cursors[corpus] = Cursor()
                self._readers[corpus] = self._read(corpus)
        self.number += len(pairs)
        return pairs

    def _begin(self) -> None:
        self.turn, self.number = self.turn + 1, 0
        self._taken = [0] * len(self._data.train)
        self._open([Cursor() for _ in self._data.train])

    def _open(self, cursors: list[Cursor]) -> None:
        self._cursors = cursors
        self._left = list(range(len(cursors)))
        self._readers = [self._read(corpus) for corpus in self._left]

    def _read(self, corpus: int) -> Iterator[Pair]:
        return read_corpus(self._data.train[corpus], self._data, "train", self._cursors[corpus])


def read_beginning(data: recipe.Data) -> Iterator[Pair]:
    """The pairs that tokenizers and defaults come from: the first ones, each corpus in turn."""
    stream = PairStream(data.model_copy(update={"weights": None}))
    for start in range(0, NUM_FIRST, PAIRS_PER_BATCH):
        limit = min(PAIRS_PER_BATCH, NUM_FIRST - start)
        pairs = stream.take(limit)
        yield from pairs
        if len(pairs) < limit:
            return


@dataclass(frozen=True)
class Chunk:
    """Some pairs that follow one another in a stream.

    Attributes:
        place: Where it begins.
        after: Where the next one does.
        corpus: Its pairs; their lines count those of the pass.
        number: Chunks before it.
        turn: Passes before the one that it is from.
        ledger: What became of the pairs of this pass up to its end.
    """

    place: Place
    after: Place
    corpus: EncodedCorpus
    number: int
    turn: int
    ledger: Ledger


@dataclass(frozen=True)
class _Mark:
    """A piece of a chunk: its pass, whether it is the last there, the place a chunk ends at."""

    turn: int
    ends_turn: bool
    place: Place | None


class Stream:
    """The training pairs of a recipe, a chunk at a time.

    Args:
        data: The corpora and the size of a chunk.
        encoder: Cleans and encodes.
        sampling: How to segment the text anew.
        noise: How batches are to change the pairs.
    """

    def __init__(
        self,
        data: recipe.Data,
        encoder: ChunkEncoder,
        sampling: Sampling | None = None,
        noise: Noise | None = None,
    ) -> None:
        self._data = data
        self._encoder = encoder
        self._sampling = sampling
        self._noise = noise
        self.start: Place = {
            "chunk": 0,
            "ledger": Ledger().to_dict(),
            "pairs": PairStream(data).save(),
        }
        self._now: Chunk | None = None
        self._next: Future[Chunk | None] | None = None
        self._chunks: Generator[Chunk, None, None] | None = None
        self._stopping = threading.Event()
        self._thread = ThreadPoolExecutor(1, "stream")

    @property
    def head(self) -> EncodedCorpus:
        """The pairs of the first chunk, which stand for all of them."""
        return self._get(self.start).corpus

    @property
    def ledger(self) -> Ledger:
        """What became of the pairs of the first chunk."""
        return self._get(self.start).ledger

    def chunk(self, place: Place) -> Chunk:
        """The chunk that begins at a place; from now on the next one is made.

        Raises:
            DataError: The corpora cannot be read, or none of their pairs are kept.
        """
        found = self._get(place)
        if self._next is None:
            self._make_next()
        return found

    def close(self) -> None:
        """End the thread's work, whatever it is at; it takes a moment."""
        if self._chunks is not None:
            self._stopping.set()
            self._thread.submit(self._chunks.close).result()
            self._stopping.clear()
        self._now = self._next = self._chunks = None

    def _get(self, place: Place) -> Chunk:
        """A chunk; it is at hand if it is the last one that was asked for or the next."""
        if self._now is None or self._now.place != place:
            if self._next is None or self._now is None or self._now.after != place:
                self.close()
                self._chunks = self._read(place)
                self._make_next()
            assert self._next is not None
            # What is no longer in use goes before there is a third one.
            made, self._now, self._next = self._next, None, None
            self._now = made.result()
        assert self._now is not None
        return self._now

    def _make_next(self) -> None:
        assert self._chunks is not None
        self._next = self._thread.submit(next, self._chunks, None)

    def _read(self, place: Place) -> Generator[Chunk, None, None]:
        """Chunks from a place on, without end."""
        number, ledger = place["chunk"], Ledger.from_dict(place["ledger"])
        turn, marks, batches = place["pairs"]["turn"], deque[_Mark](), []
        pieces = self._pieces(PairStream(self._data, place["pairs"]), marks)
        encoded = map_in_order(self._encoder, pieces, self._data.num_workers or 1)
        with closing(encoded):
            for batch, verdicts in encoded:
                mark = marks.popleft()
                if mark.turn != turn:
                    turn, ledger = mark.turn, Ledger()
                ledger = ledger.count(verdicts)
                if batch.num_rows:
                    batches.append(batch)
                if mark.ends_turn:
                    logger.info("read all training pairs, pass %d: %s", turn + 1, ledger)
                _check(ledger, mark.ends_turn)
                if mark.place is None or not batches:
                    continue
                number += 1
                after = {"chunk": number, "ledger": ledger.to_dict(), "pairs": mark.place}
                corpus, batches = EncodedCorpus(batches, self._sampling, self._noise), []
                yield Chunk(place, after, corpus, number - 1, turn, ledger)
                del corpus
                place = after

    def _pieces(self, stream: PairStream, marks: deque[_Mark]) -> Iterator[tuple[int, list[Pair]]]:
        """Pieces of chunks for the encoder; a mark for each."""
        room = self._data.shuffle_buffer
        while not self._stopping.is_set():
            limit = min(room, PAIRS_PER_BATCH)
            pairs = stream.take(limit)
            room -= len(pairs)
            ends_turn = len(pairs) < limit
            place = None
            if ends_turn or not room:
                room, place = self._data.shuffle_buffer, stream.save()
            marks.append(_Mark(stream.turn, ends_turn, place))
            yield stream.number - len(pairs), pairs


def _check(ledger: Ledger, is_all: bool) -> None:
    """See that there is something to train on."""
    if not ledger.kept and (is_all or ledger.read >= GIVE_UP):
        raise DataError(f"data.train: {ledger}; {ledger.remedy}")
