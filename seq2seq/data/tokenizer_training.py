"""Training SentencePiece models."""

import ctypes
import io
import platform
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

import numpy as np
import sentencepiece

from seq2seq import recipe
from seq2seq.data.model_file import with_target_first
from seq2seq.data.tokenizer import Tokenizer, Tokenizers, prepare_text
from seq2seq.errors import DataError
from seq2seq.sizes import OUTPUT_MULTIPLE
from seq2seq.special import BOS, EOS, PAD, UNK

PairsFactory = Callable[[], Iterator[tuple[str, str]]]
"""Starts another pass over the pairs."""

MAX_LINES = 2_000_000
MAX_BYTES = {"unigram": 40_000_000, "bpe": 160_000_000, "char": 160_000_000, "word": 160_000_000}
"""Of the text that a model is trained on; SentencePiece takes 20 times the text for unigram models,
which begin with a suffix array, and 4 times for others: at most 800 MB."""

_MAX_BYTES_PER_LINE = 1 << 16
_LINES_AT_A_TIME = 10_000


def train_tokenizers(read_pairs: PairsFactory, section: recipe.Tokenizer) -> Tokenizers:
    """Learn the pieces from training text.

    Of more than `MAX_LINES` or `MAX_BYTES` an evenly spaced part is taken.

    Raises:
        DataError: The text cannot support such a model.
    """
    count = src_size = tgt_size = 0
    for src, tgt in read_pairs():
        count += 1
        src_size += len(src.encode())
        tgt_size += len(tgt.encode())

    def pairs(lines: int, size: int) -> Iterator[tuple[str, str]]:
        """Those to learn from, of as many pairs as are read with so much text."""
        limit = MAX_BYTES[section.type]
        share = min(1, MAX_LINES / max(lines, 1), limit / max(size, 1))
        return _spread(read_pairs(), count, max(1, int(share * count)))

    if section.joint:
        lines = (line for pair in pairs(2 * count, src_size + tgt_size) for line in pair)
        joint = _train(lines, section, "both sides")
        if section.tgt_min_count:
            joint = _count_target(joint, (t for _, t in pairs(count, tgt_size)), section)
        return Tokenizers.joint(joint)
    src_model = _train((s for s, _ in pairs(count, src_size)), section, "the source")
    tgt_model = _train((t for _, t in pairs(count, tgt_size)), section, "the target")
    return Tokenizers(src_model, tgt_model)


def _count_target(joint: Tokenizer, lines: Iterable[str], section: recipe.Tokenizer) -> Tokenizer:
    """The tokenizer with those pieces first that the target has often enough, or must have.

    These are the special ones and what everything can be spelt with, characters and bytes. The next
    ones make their number a multiple of `OUTPUT_MULTIPLE`.
    """
    counts = np.zeros(len(joint), dtype=np.int64)
    lines = iter(lines)
    while texts := list(islice(lines, _LINES_AT_A_TIME)):
        counts += np.bincount(list(chain.from_iterable(joint.encode(texts))), minlength=len(joint))
    is_kept = counts >= section.tgt_min_count
    is_kept[[*range(EOS + 1), *joint.byte_ids]] = True
    is_kept |= np.array([len(piece) == 1 for piece in joint.vocabulary])
    others = np.flatnonzero(~is_kept)
    is_kept[others[: -is_kept.sum() % OUTPUT_MULTIPLE]] = True
    kept = {*np.flatnonzero(is_kept).tolist()}
    return Tokenizer(with_target_first(joint.serialize(), kept), lowercase=joint.lowercase)


def _spread(pairs: Iterable[tuple[str, str]], count: int, wanted: int) -> Iterator[tuple[str, str]]:
    for i, pair in enumerate(pairs):
        if count <= wanted or (i + 1) * wanted // count > i * wanted // count:
            yield pair


def _train(lines: Iterable[str], section: recipe.Tokenizer, side: str) -> Tokenizer:
    model = io.BytesIO()
    prepared = (prepare_text(line, section.lowercase) for line in lines)
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(line for line in prepared if line.strip()),
            model_writer=model,
            model_type=section.type,
            vocab_size=section.vocab_size,
            # The vocabulary shrinks to what the text supports instead of failing.
            hard_vocab_limit=False,
            character_coverage=section.character_coverage,
            byte_fallback=section.byte_fallback,
            normalization_rule_name="identity",
            max_sentence_length=_MAX_BYTES_PER_LINE,
            pad_id=PAD,
            unk_id=UNK,
            bos_id=BOS,
            eos_id=EOS,
            unk_surface=" <unk>" if section.type == "word" else "<unk>",
            # The result of unigram training depends on the number of threads.
            num_threads=2,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _explain(error, section, side) from None
    _give_memory_back()
    return Tokenizer(model.getvalue(), lowercase=section.lowercase)


def _give_memory_back() -> None:
    """Of what SentencePiece has freed glibc keeps hundreds of megabytes, in pieces."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _explain(error: RuntimeError, section: recipe.Tokenizer, side: str) -> Exception:
    message = str(error)
    if "required_chars" in message:
        found = re.search(r"\d+ vs (\d+)", message)
        needed = found[1] if found else "more"
        return DataError(
            f"tokenizer.vocab_size: {section.vocab_size} is too small, the characters of "
            f"{side} need {needed} pieces; raise it or lower tokenizer.character_coverage"
        )
    if "(vocab_size) >= (0)" in message:
        return DataError(
            f"tokenizer.vocab_size: {section.vocab_size} is too small, the bytes and special ones "
            f"alone need {256 + EOS + 1} pieces; raise it or set tokenizer.byte_fallback: false"
        )
    if "sentences_.empty" in message or "all_chars_count" in message:
        return DataError(f"data.train: no text to train the tokenizer of {side}; fill the files")
    return error
