"""SentencePiece tokenizers, from raw text to raw text.

Text is kept as it is: no Unicode normalisation, which would change what is scored against raw
references. Only runs of spaces and tabs count as one space. Lower-casing, where the recipe asks
for it, is Python's `str.lower`. U+2581, SentencePiece's own sign for a space, is carried through
as a private character.
"""

import json
import random
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import sentencepiece

from seq2seq import recipe
from seq2seq.data.model_file import for_target, model_type, target_size
from seq2seq.data.scripts import is_unspaced
from seq2seq.data.segmentation import SEGMENTERS, SPACE, Segmenter, split_words
from seq2seq.errors import DataError
from seq2seq.special import BOS, EOS, PAD, UNK

_SPACE_IN_TEXT = "\uf581"
_SETTINGS = "tokenizer.json"
_SPECIAL = {PAD: "<pad>", UNK: "<unk>", BOS: "<s>", EOS: "</s>"}
_FEW = 16
"""Texts that SentencePiece has done one by one before it has started the threads for a list."""

_BYTES = 0x100000
"""First of the characters that stand for single bytes, in Unicode's last private plane."""


class Tokenizer:
    """Text to ids and back.

    A model's own special pieces are mapped to the ids of `seq2seq.special`, whatever ids they
    have in the model; its other pieces follow in the order of the model.

    Args:
        model: A serialised SentencePiece model.
        lowercase: Lower-case the text first.
    """

    is_reversed = False
    """Whether the ids of a text begin with its last piece."""

    def __init__(self, model: bytes, *, lowercase: bool = False) -> None:
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.lowercase = lowercase
        special = {
            self._processor.pad_id(): PAD,
            self._processor.unk_id(): UNK,
            self._processor.bos_id(): BOS,
            self._processor.eos_id(): EOS,
        }
        all_ids = range(len(self._processor))
        others = [i for i in all_ids if i not in special]
        ours = {theirs: i for i, theirs in enumerate(others, start=len(_SPECIAL))} | special
        self._size = len(_SPECIAL) + len(others)
        size = target_size(model)
        if size is not None:
            # What the target lacks comes last, and is no piece where the model is for it alone.
            self._size -= sum(map(self._processor.is_unused, all_ids[size:]))
        self._is_renumbered = any(ours[i] != i for i in range(len(self._processor)))
        self._to_ours = [ours[i] for i in range(len(self._processor))]
        theirs = {i: their for their, i in ours.items() if their >= 0}
        self._to_theirs = [theirs.get(i, -1) for i in range(self._size)]

    @classmethod
    def load(cls, path: Path, *, lowercase: bool = False) -> "Tokenizer":
        """Load a SentencePiece model.

        Raises:
            DataError: The file is missing or no such model.
        """
        try:
            return cls(path.read_bytes(), lowercase=lowercase)
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); is the path right?"
            ) from None
        except RuntimeError:
            raise DataError(
                f"{path}: no SentencePiece model; give a file that SentencePiece wrote"
            ) from None

    def __len__(self) -> int:
        return self._size

    def reversed(self) -> "Tokenizer":
        """One with the same pieces whose ids run the other way."""
        other = copy(self)
        other.is_reversed = not self.is_reversed
        other.__dict__.pop("spellings", None)  # kept from before it was turned
        return other

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of texts, without special ones but `UNK`."""
        prepared = [prepare_text(text, self.lowercase) for text in texts]
        ids: list[list[int]] = _of_each(self._processor.encode, prepared)
        if self._is_renumbered:
            ids = [[self._to_ours[i] for i in row] for row in ids]
        return [row[::-1] for row in ids] if self.is_reversed else ids

    def encode_within(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of texts as they stand in the midst of others.

        Before a script without spaces there is none, which `encode` puts before all texts.
        """
        return [self._without_space(ids) for ids in self.encode(texts)]

    def _without_space(self, ids: list[int]) -> list[int]:
        turn = -1 if self.is_reversed else 1
        pieces = self.pieces(ids[::turn])
        first = "".join(pieces)[:2]
        if not first.startswith(SPACE) or not any(map(is_unspaced, first[1:])):
            return ids
        rest = pieces[0][1:]
        parts = [rest] if rest in self._ids else [*rest]
        if not self._ids.keys() >= {*parts}:
            return ids  # of words that are pieces as a whole
        return [*(self._ids[part] for part in parts), *ids[::turn][1:]][::turn]

    def sample(self, text: str, amount: float, seed: int) -> list[int]:
        """Ids of a random segmentation, a function of the arguments alone.

        Args:
            text: One sentence.
            amount: For BPE the probability to skip a merge, for unigram models the inverse
                temperature; 0 gives the segmentation of `encode`, as do models of other types.
            seed: Any integer.
        """
        segmenter = self._segmenter
        if not amount or segmenter is None:
            return self.encode([text])[0]
        draw = random.Random(seed).random
        normalised = self._processor.normalize(prepare_text(text, self.lowercase))
        words = split_words(normalised) if self._has_word_pieces else [normalised]
        ids: list[int] = []
        for word in words:
            for piece in segmenter.segment(word, amount, draw):
                known = self._ids.get(piece)
                if known is not None:
                    ids.append(known)
                elif self.byte_ids:
                    ids.extend(self.byte_ids[byte] for byte in piece.encode())
                elif not ids or ids[-1] != UNK:
                    ids.append(UNK)
        return ids[::-1] if self.is_reversed else ids

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Texts of ids; special ids give nothing, but `UNK` gives `<unk>`."""
        rows = [[self._to_theirs[i] for i in row] for row in ids] if self._is_renumbered else ids
        rows = [row[::-1] for row in rows] if self.is_reversed else rows
        known = [[int(i) for i in row if i >= 0] for row in rows]
        texts: list[str] = _of_each(self._processor.decode, known)
        return [_restore(text) for text in texts]

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The piece of each id, in their order; U+2581 in it is the space before a word."""
        return [
            _SPECIAL[i]
            if i < len(_SPECIAL)
            else self._processor.id_to_piece(self._to_theirs[i]).replace(_SPACE_IN_TEXT, SPACE)
            for i in map(int, ids)
        ]

    def surfaces(self, text: str) -> list[str]:
        """The pieces that `encode` cuts a text into, unknown characters as they stand there."""
        pieces: list[str] = self._processor.encode(prepare_text(text, self.lowercase), out_type=str)
        return pieces[::-1] if self.is_reversed else pieces

    def fill_unknown(self, ids: Sequence[int], words: Sequence[str]) -> list[str]:
        """The piece of each id as `join` takes them, with given words for the unknown ones.

        Args:
            ids: of one text.
            words: for each `UNK` in turn; "" leaves `<unk>`.
        """
        given = iter(words)
        # Where words are pieces an unknown one has its space in it.
        space = SPACE if self._kind == "word" else ""
        return [
            space + (next(given, "") or self._unknown)
            if i == UNK
            else self._processor.id_to_piece(self._to_theirs[i])
            for i in map(int, ids)
            if i == UNK or i >= len(_SPECIAL)
        ]

    def join(self, pieces: Sequence[str]) -> str:
        """The text of pieces, known or not, in the order of ids."""
        parts: list[str] = []
        for piece in pieces[:: -1 if self.is_reversed else 1]:
            # What isn't a piece of the model stays as it is, U+2581 too; character by character,
            # lest it be taken for a special piece of that name.
            parts += [piece] if piece in self._written else piece.replace(SPACE, " ")
        text: str = self._processor.decode_pieces(parts)
        return _restore(text)

    @cached_property
    def vocabulary(self) -> list[str]:
        """All pieces by id."""
        return self.pieces(range(len(self)))

    @cached_property
    def spellings(self) -> list[str]:
        """What each id adds to a text, in the order in which it is written.

        An end adds a space, a byte a character of its own.
        """
        texts = [piece.replace(SPACE, " ") for piece in self.vocabulary]
        texts[PAD], texts[BOS], texts[EOS] = "", "", " "
        for byte, i in enumerate(self.byte_ids):
            texts[i] = chr(_BYTES + byte)
        return [text[::-1] for text in texts] if self.is_reversed else texts

    @cached_property
    def word_starts(self) -> list[int]:
        """Ids of the pieces that begin a word."""
        return [i for piece, i in self._ids.items() if piece.startswith(SPACE)]

    def for_target(self) -> "Tokenizer":
        """This one, or if its model says that the target has fewer pieces, that with these."""
        if target_size(self.serialize()) is None:
            return self
        return Tokenizer(for_target(self.serialize()), lowercase=self.lowercase)

    def serialize(self) -> bytes:
        """The SentencePiece model."""
        model: bytes = self._processor.serialized_model_proto()
        return model

    @cached_property
    def _kind(self) -> str:
        return model_type(self.serialize())

    @cached_property
    def _unknown(self) -> str:
        text: str = self._processor.decode([self._processor.unk_id()])
        return text.strip(" ")

    @cached_property
    def _ids(self) -> dict[str, int]:
        model = self._processor
        return {
            model.id_to_piece(i): ours
            for i, ours in enumerate(self._to_ours)
            if ours < self._size
            and not (model.is_control(i) or model.is_unknown(i) or model.is_byte(i))
        }

    @cached_property
    def _written(self) -> set[str]:
        """All pieces but the special ones."""
        return {*self._ids, *self.pieces(self.byte_ids)}

    @cached_property
    def byte_ids(self) -> list[int]:
        """Ids of the pieces that stand for a single byte, in its order; none without fallback."""
        model = self._processor
        return [ours for i, ours in enumerate(self._to_ours) if model.is_byte(i)]

    @cached_property
    def _has_word_pieces(self) -> bool:
        return not any(SPACE in piece[1:] for piece in self._ids)

    @cached_property
    def _segmenter(self) -> Segmenter | None:
        build = SEGMENTERS.get(self._kind)
        scores = {
            piece: self._processor.get_score(self._to_theirs[i]) for piece, i in self._ids.items()
        }
        return build(scores) if build else None


@dataclass(frozen=True)
class Tokenizers:
    """The tokenizers of the two sides.

    Of a joint one the target may have the first pieces alone; else it is the same for both.
    """

    src: Tokenizer
    tgt: Tokenizer

    @classmethod
    def joint(cls, tokenizer: Tokenizer) -> "Tokenizers":
        """One for both sides, of which the target has what its model says that it has."""
        return cls(tokenizer, tokenizer.for_target())

    @property
    def are_joint(self) -> bool:
        """Whether the ids of the target are those of the source, as far as there are any."""
        return self.src.vocabulary[: len(self.tgt)] == self.tgt.vocabulary

    def directed(self, data: recipe.Data) -> "Tokenizers":
        """These, giving the ids of each side in the direction that the recipe wants."""
        return Tokenizers(
            self.src.reversed() if data.reverse_src else self.src,
            self.tgt.reversed() if data.reverse_tgt else self.tgt,
        )


def load_tokenizers(folder: Path) -> Tokenizers:
    """Load what `save_tokenizers` wrote.

    Raises:
        DataError: Nothing complete is there.
    """
    path = folder / _SETTINGS
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        lowercase, is_joint = bool(settings["lowercase"]), settings["joint"]
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); prepare the run first"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path}: is damaged; prepare the run again") from None
    if is_joint:
        return Tokenizers.joint(Tokenizer.load(folder / "joint.model", lowercase=lowercase))
    return Tokenizers(
        Tokenizer.load(folder / "src.model", lowercase=lowercase),
        Tokenizer.load(folder / "tgt.model", lowercase=lowercase),
    )


def save_tokenizers(tokenizers: Tokenizers, folder: Path) -> None:
    """Write the models and how to use them into an existing folder."""
    joint = tokenizers.tgt.serialize() == tokenizers.src.for_target().serialize()
    sides = {"joint": tokenizers.src} if joint else vars(tokenizers)
    for name, tokenizer in sides.items():
        (folder / f"{name}.model").write_bytes(tokenizer.serialize())
    settings = {"joint": joint, "lowercase": tokenizers.src.lowercase}
    (folder / _SETTINGS).write_text(json.dumps(settings), encoding="utf-8")


def prepare_text(text: str, lowercase: bool) -> str:
    """Text as SentencePiece is to see it."""
    if lowercase:
        text = text.lower()
    return text.replace("\t", " ").replace("\0", " ").replace(SPACE, _SPACE_IN_TEXT)


def _restore(text: str) -> str:
    """Text that SentencePiece has decoded as it was before `prepare_text`.

    A model without a piece for the space spells it in bytes, which are decoded to U+2581.
    """
    return text.replace(SPACE, " ").strip(" ").replace(_SPACE_IN_TEXT, SPACE)


def _of_each(function: Callable[[Any], Any], inputs: list[Any]) -> list[Any]:
    """What a function of SentencePiece gives for each input."""
    if len(inputs) <= _FEW:
        return [function(one) for one in inputs]
    outputs: list[Any] = function(inputs)
    return outputs
