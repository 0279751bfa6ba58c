"""Training SentencePiece models."""

import io
import re
from collections.abc import Callable, Iterable, Iterator

import sentencepiece

from seq2seq import recipe
from seq2seq.data.tokenizer import Tokenizer, Tokenizers, prepare_text
from seq2seq.errors import DataError
from seq2seq.special import BOS, EOS, PAD, UNK

PairsFactory = Callable[[], Iterator[tuple[str, str]]]
"""Starts another pass over the pairs."""

MAX_LINES = 2_000_000
_MAX_BYTES_PER_LINE = 1 << 16


def train_tokenizers(read_pairs: PairsFactory, section: recipe.Tokenizer) -> Tokenizers:
    """Learn the pieces from training text.

    From more than `MAX_LINES` lines an evenly spaced part is taken.

    Raises:
        DataError: The text cannot support such a model.
    """
    count = sum(1 for _ in read_pairs())
    if section.joint:
        lines = (line for pair in _spread(read_pairs(), count, MAX_LINES // 2) for line in pair)
        joint = _train(lines, section, "both sides")
        return Tokenizers(joint, joint)
    src = _train((s for s, _ in _spread(read_pairs(), count, MAX_LINES)), section, "source")
    tgt = _train((t for _, t in _spread(read_pairs(), count, MAX_LINES)), section, "target")
    return Tokenizers(src, tgt)


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
    return Tokenizer(model.getvalue(), lowercase=section.lowercase)


def _explain(error: RuntimeError, section: recipe.Tokenizer, side: str) -> Exception:
    message = str(error)
    if "required_chars" in message:
        found = re.search(r"\d+ vs (\d+)", message)
        needed = found[1] if found else "more"
        return DataError(
            f"tokenizer.vocab_size: {section.vocab_size} is too small, the characters of the "
            f"{side} need {needed} pieces; raise it or lower tokenizer.character_coverage"
        )
    if "sentences_.empty" in message or "all_chars_count" in message:
        return DataError(
            f"data.train: no text to train the tokenizer of the {side}; fill the files"
        )
    return error
