"""From words to ids: what is asked of the translation of each line."""

from collections.abc import Sequence
from pathlib import Path

from seq2seq import recipe
from seq2seq.data.glossary import load_glossary
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.errors import DataError
from seq2seq.files import digest
from seq2seq.search.requests import Request
from seq2seq.special import UNK


class Requests:
    """Makes requests of lines.

    Args:
        decoding: with what is asked of all translations.
        source: of the source.
        target: of the target.

    Raises:
        DataError: the glossary cannot be read, or has words that cannot be produced.
    """

    def __init__(self, decoding: recipe.Decoding, source: Tokenizer, target: Tokenizer) -> None:
        self.lowercase = source.lowercase
        banned = target.encode(decoding.banned_phrases)
        self.banned = [ids for ids in banned if ids and UNK not in ids]
        self.glossary = None
        if decoding.glossary is not None:
            path = Path(decoding.glossary)
            self.glossary = load_glossary(path, lowercase=source.lowercase)
            phrases = list(dict.fromkeys(self.glossary.entries.values()))
            self.ids = dict(zip(phrases, target.encode(phrases), strict=True))
            for phrase, ids in self.ids.items():
                if UNK in ids:
                    text = "has characters that the model doesn't know; take it out"
                    raise DataError(f"{path}: {phrase!r} {text}")

    def of(self, lines: Sequence[str]) -> list[Request]:
        """The request of each line."""
        return [self._request(line) for line in lines]

    def _request(self, line: str) -> Request:
        required = []
        if self.glossary is not None:
            text = line.lower() if self.lowercase else line
            required = [self.ids[phrase] for phrase in self.glossary.find(text)]
        key = int(digest(line.encode())[:15], 16)
        return Request(required=required, banned=self.banned, key=key)
