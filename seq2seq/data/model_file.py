"""SentencePiece models as files: protocol buffers, read and written here.

A model for both sides of a corpus can say how many of its pieces the target has: these come first.
It does so in a field that SentencePiece keeps free for others and carries through.
"""

from collections.abc import Iterator, Set

_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
_PIECES, _TRAINER, _TARGET_SIZE = 1, 2, 200
_MODEL_TYPE, _PIECE_TYPE = 3, 3
_UNUSED = 5


def model_type(model: bytes) -> str:
    """The kind of a model, as the recipe calls it."""
    for number, spec, _ in _fields(model):
        if number == _TRAINER and isinstance(spec, bytes):
            for inner, value, _ in _fields(spec):
                if inner == _MODEL_TYPE and isinstance(value, int):
                    return _TYPES.get(value, "unigram")
    return "unigram"


def target_size(model: bytes) -> int | None:
    """How many of its first pieces the target has, if the model says so."""
    sizes = [value for number, value, _ in _fields(model) if number == _TARGET_SIZE]
    return sizes[-1] if sizes and isinstance(sizes[-1], int) else None


def with_target_first(model: bytes, kept: Set[int]) -> bytes:
    """The model with some of its pieces first, which are those of the target from now on.

    Args:
        model: its segmentations stay as they are, all other ids change.
        kept: ids of these pieces, the special ones among them.
    """
    parts = list(_fields(model))
    pieces = [raw for number, _, raw in parts if number == _PIECES]
    others = [raw for number, _, raw in parts if number not in (_PIECES, _TARGET_SIZE)]
    order = sorted(range(len(pieces)), key=lambda i: (i not in kept, i))
    size = _varint(_TARGET_SIZE << 3) + _varint(len(kept))
    return b"".join([*(pieces[i] for i in order), *others, size])


def for_target(model: bytes) -> bytes:
    """The model of the target alone: SentencePiece cuts what isn't its own into what is."""
    size, count, parts = target_size(model), 0, []
    for number, piece, raw in _fields(model):
        if number == _PIECES and isinstance(piece, bytes):
            if size is not None and count >= size:
                piece += _varint(_PIECE_TYPE << 3) + _varint(_UNUSED)  # of two types the last holds
                raw = _varint(_PIECES << 3 | 2) + _varint(len(piece)) + piece
            count += 1
        parts.append(raw)
    return b"".join(parts)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes, bytes]]:
    """Numbers and values of a protocol buffer's top-level fields, and all of each as it stands."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        start = at
        key = varint()
        if key & 7 == 0:
            number = varint()
            yield key >> 3, number, message[start:at]
            continue
        size = {1: 8, 5: 4}.get(key & 7) or varint()
        at += size
        yield key >> 3, message[at - size : at], message[start:at]


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])
