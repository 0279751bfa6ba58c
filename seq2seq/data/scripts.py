"""Which letters are written without spaces between words."""

import unicodedata
from functools import cache

_HAN = ("CJK", "IDEOGRAPHIC")
_UNSPACED = (
    *_HAN,
    *("HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "YI "),
)
"""How the names of their letters begin."""


@cache
def is_unspaced(char: str) -> bool:
    """Whether a character is of a script that puts no spaces between words."""
    return unicodedata.name(char, "").startswith(_UNSPACED)


def is_han(char: str) -> bool:
    """Whether it is a Chinese character, wherever it is used."""
    return unicodedata.name(char, "").startswith(_HAN)
