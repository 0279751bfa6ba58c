"""Encoded pairs in an Arrow file, or a chunk of them in memory.

The file is an Arrow stream (what the `datasets` library keeps its cache in, so
`Dataset.from_file` opens it too), written record batch by record batch. Where the lists of a batch
begin is a view of the mapped file; the ids themselves are read when they are asked for. Mapped,
they would be faster by 2 microseconds, but the system maps 16 pages around each that is touched, so
that before long all of the file counts as memory of the process. Going through `Dataset` itself
would cost a second of imports at each start, and its generator cache is keyed by the generator's
code, not by the content of the files it reads.
"""

import json
import mmap
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seq2seq.data.clean import KEPT, Ledger, Limits
from seq2seq.data.mixture import Mixture
from seq2seq.data.noise import Noise
from seq2seq.data.parallel import map_in_order
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.special import EOS

Ids = npt.NDArray[np.integer]
Chunk = tuple[int, list[tuple[str, str]]]
"""Some pairs, and the number of those before them."""

PAIRS_PER_BATCH = 1 << 14
_FILE, _LEDGER = "pairs.arrow", "ledger.json"


@dataclass(frozen=True)
class Sampling:
    """Segmenting training text anew in each epoch.

    Attributes:
        tokenizers: They segment.
        amount: How much, see the recipe's `tokenizer.sampling`.
        seed: With epoch and line number it determines the segmentation.
    """

    tokenizers: Tokenizers
    amount: float
    seed: int


class _File:
    """A file that is read at places.

    Attributes:
        mapped: All of it.
        read: Gives so many bytes from such a place on.
    """

    def __init__(self, path: Path) -> None:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, number)
        mapped = mmap.mmap(number, 0, access=mmap.ACCESS_READ)
        self.mapped = pa.py_buffer(mapped)
        self.read: Callable[[int, int], bytes] = lambda size, at: mapped[at : at + size]
        if hasattr(os, "pread"):
            self.read = lambda size, at: os.pread(number, size, at)


class _Lists:
    """A column of id lists, by record batch; in memory if there is no file."""

    def __init__(self, file: _File | None, batches: Sequence[pa.RecordBatch], column: str) -> None:
        columns = [batch.column(column) for batch in batches]
        self._values = [lists.values.to_numpy() for lists in columns]
        self._file = file
        self._offsets = [lists.offsets.to_numpy() for lists in columns]
        first = 0 if file is None else file.mapped.address
        self._places = [ids.ctypes.data - first for ids in self._values]
        self._type = self._values[0].dtype if columns else np.dtype(np.int32)

    def row(self, batch: int, row: int) -> Ids:
        size, offsets = self._type.itemsize, self._offsets[batch]
        start, end = int(offsets[row]), int(offsets[row + 1])
        if self._file is None:
            ids: Ids = self._values[batch][start:end]
            return ids
        content = self._file.read((end - start) * size, self._places[batch] + start * size)
        return np.frombuffer(content, self._type)

    def lengths(self) -> npt.NDArray[np.int32]:
        parts = [np.diff(offsets) for offsets in self._offsets]
        return np.concatenate([np.zeros(0, dtype=np.int32), *parts])


class EncodedCorpus:
    """Pairs of id sequences, on disk with only their lengths in memory, or a few in memory.

    Args:
        source: The folder that they were written to, or record batches of a `ChunkEncoder`.
        sampling: See below.
        noise: See below.

    Attributes:
        src_lengths: Source ids of each pair with the end mark, shape (number of pairs,).
        tgt_lengths: Target ids likewise.
        sampling: How to segment the text anew; None for the ids as they are.
        noise: How batches are to change the pairs; None leaves them as they are.
        mixture: Which pairs make an epoch; None for all of them.
    """

    mixture: Mixture | None = None

    def __init__(
        self,
        source: Path | Sequence[pa.RecordBatch],
        sampling: Sampling | None = None,
        noise: Noise | None = None,
    ) -> None:
        self.sampling = sampling
        self.noise = noise
        self._folder = source if isinstance(source, Path) else None
        file: _File | None = None
        if isinstance(source, Path):
            file = _File(source / _FILE)
            source = list(pa.ipc.open_stream(file.mapped))
        self._batches = source
        sizes = [batch.num_rows for batch in self._batches]
        self._starts = np.cumsum([0, *sizes], dtype=np.int64)
        self._src = _Lists(file, self._batches, "src")
        self._tgt = _Lists(file, self._batches, "tgt")
        self._lines = [batch.column("line").to_numpy() for batch in self._batches]
        self.src_lengths = self._src.lengths()
        self.tgt_lengths = self._tgt.lengths()

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def ledger(self) -> Ledger:
        """What became of the pairs that were read for the folder."""
        assert self._folder is not None
        return read_ledger(self._folder)

    @property
    def head(self) -> "EncodedCorpus":
        """Pairs that stand for all of them: these; of a stream it is the first chunk."""
        return self

    def src(self, i: int) -> Ids:
        """Source ids of a pair with the end mark."""
        return self._src.row(*self._locate(i))

    def tgt(self, i: int) -> Ids:
        """Target ids of a pair with the end mark."""
        return self._tgt.row(*self._locate(i))

    def line(self, i: int) -> int:
        """Number of a pair among all that were read for the corpus, counted from 0."""
        batch, row = self._locate(i)
        return int(self._lines[batch][row])

    def count_before(self, line: int) -> int:
        """How many pairs come from lines before this one."""
        return sum(int(np.searchsorted(lines, line)) for lines in self._lines)

    def src_text(self, i: int) -> str:
        """Source text of a pair; there is some only if the corpus was written with text."""
        return self._text("src_text", i)

    def tgt_text(self, i: int) -> str:
        """Target text of a pair; there is some only if the corpus was written with text."""
        return self._text("tgt_text", i)

    def sample(
        self, index: npt.NDArray[np.int64], rounds: npt.NDArray[np.int64]
    ) -> tuple[list[list[int]], list[list[int]]]:
        """Segment pairs anew, each as a function of (seed, round, line) alone.

        Returns:
            Source and target ids of the pairs at these positions with end marks.
        """
        assert self.sampling is not None
        amount, tokenizers = self.sampling.amount, self.sampling.tokenizers
        src_ids, tgt_ids = [], []
        for i, number in zip(index.tolist(), rounds.tolist(), strict=True):
            seed = (((self.sampling.seed << 24) + number) << 40) + 2 * self.line(i)
            src_ids.append([*tokenizers.src.sample(self.src_text(i), amount, seed), EOS])
            tgt_ids.append([*tokenizers.tgt.sample(self.tgt_text(i), amount, seed + 1), EOS])
        return src_ids, tgt_ids

    def _locate(self, i: int) -> tuple[int, int]:
        batch = int(self._starts.searchsorted(i, side="right")) - 1
        return batch, i - int(self._starts[batch])

    def _text(self, column: str, i: int) -> str:
        batch, row = self._locate(i)
        text: str = self._batches[batch].column(column)[row].as_py()
        return text


def write_corpus(
    pairs: Iterable[tuple[str, str]],
    tokenizers: Tokenizers,
    folder: Path,
    *,
    limits: Limits | None = None,
    with_text: bool = False,
    num_workers: int = 1,
) -> Iterator[Ledger]:
    """Encode pairs into a folder for `EncodedCorpus`.

    Args:
        pairs: The raw text; read as a stream.
        tokenizers: Of the two sides.
        folder: Existing; what it holds is complete once the iterator has ended.
        limits: What pairs must keep to; None keeps all of them.
        with_text: Keep the text too, for subword sampling.
        num_workers: Processes that encode; the file is the same however many there are.

    Yields:
        The account so far, after each record batch.
    """
    encoder = ChunkEncoder(tokenizers, limits, with_text)
    schema, ledger = encoder.schema, Ledger()
    encoded = map_in_order(encoder, _chunks(pairs), num_workers)
    with (
        closing(encoded),
        pa.OSFile(str(folder / _FILE), "wb") as file,
        pa.ipc.new_stream(file, schema) as writer,
    ):
        for batch, verdicts in encoded:
            ledger = ledger.count(verdicts)
            writer.write_batch(batch)
            yield ledger
    (folder / _LEDGER).write_text(json.dumps(ledger.to_dict()), encoding="utf-8")


def read_ledger(folder: Path) -> Ledger:
    """The account of an encoded corpus."""
    return Ledger.from_dict(json.loads((folder / _LEDGER).read_text(encoding="utf-8")))


def _chunks(pairs: Iterable[tuple[str, str]]) -> Iterator[Chunk]:
    pairs, first_line = iter(pairs), 0
    while chunk := list(islice(pairs, PAIRS_PER_BATCH)):
        yield first_line, chunk
        first_line += len(chunk)


class ChunkEncoder:
    """Makes record batches of pairs, in whatever process.

    Attributes:
        schema: Of the record batches.
    """

    def __init__(self, tokenizers: Tokenizers, limits: Limits | None, with_text: bool) -> None:
        self._tokenizers = tokenizers
        self._limits = limits
        size = max(len(tokenizers.src), len(tokenizers.tgt))
        ids_type = pa.list_(pa.uint16() if size <= 1 << 16 else pa.int32())
        fields = [("src", ids_type), ("tgt", ids_type), ("line", pa.int64())]
        texts = [("src_text", pa.large_string()), ("tgt_text", pa.large_string())]
        self.schema = pa.schema(fields + (texts if with_text else []))

    def __call__(self, chunk: Chunk) -> tuple[pa.RecordBatch, npt.NDArray[np.int8]]:
        """The pairs to keep as a record batch, and the verdict on each pair of the chunk."""
        first_line, pairs = chunk
        src_texts, tgt_texts = [src for src, _ in pairs], [tgt for _, tgt in pairs]
        src_ids = self._tokenizers.src.encode(src_texts)
        tgt_ids = self._tokenizers.tgt.encode(tgt_texts)
        verdicts = np.full(len(pairs), KEPT, dtype=np.int8)
        if self._limits is not None:
            # A line of nothing but white space may have pieces, and yet there is no text.
            lengths = (
                _lengths(ids) * [bool(text.strip()) for text in texts]
                for ids, texts in ((src_ids, src_texts), (tgt_ids, tgt_texts))
            )
            verdicts = self._limits.judge(*lengths)
        kept = np.flatnonzero(verdicts == KEPT)
        columns: dict[str, pa.Array] = {
            "src": _to_lists(src_ids, kept, self.schema.field("src").type),
            "tgt": _to_lists(tgt_ids, kept, self.schema.field("tgt").type),
            "line": pa.array(kept + first_line, pa.int64()),
        }
        if "src_text" in self.schema.names:
            columns["src_text"] = pa.array([src_texts[i] for i in kept], pa.large_string())
            columns["tgt_text"] = pa.array([tgt_texts[i] for i in kept], pa.large_string())
        batch = pa.record_batch([columns[name] for name in self.schema.names], schema=self.schema)
        return batch, verdicts


def _lengths(sequences: list[list[int]]) -> npt.NDArray[np.int64]:
    return np.fromiter((len(ids) for ids in sequences), np.int64, len(sequences))


def _to_lists(
    sequences: list[list[int]], kept: npt.NDArray[np.int64], kind: pa.DataType
) -> pa.Array:
    rows = [sequences[i] for i in kept]
    offsets = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum(_lengths(rows) + 1, out=offsets[1:])
    values = np.full(offsets[-1], EOS, dtype=kind.value_type.to_pandas_dtype())
    is_piece = np.ones(len(values), dtype=bool)
    is_piece[offsets[1:] - 1] = False
    values[is_piece] = np.fromiter(chain.from_iterable(rows), values.dtype)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values), type=kind)
