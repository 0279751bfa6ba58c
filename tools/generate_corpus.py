"""Writes a parallel corpus of any size that a small network can learn.

    python tools/generate_corpus.py FOLDER PAIRS

writes FOLDER/train.a, train.b, dev.a and dev.b. Sentences are words of a made-up language with the
frequencies of a natural one (Zipf's law); each is translated by spelling its words backwards and
swapping neighbours. What a corpus of that size costs, in time and memory, is seen with it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

NUM_WORDS = 200_000
MEAN_LENGTH, LONGEST = 12, 40
LINES_AT_A_TIME = 100_000
SPLITS = {"train": 1, "dev": 2}


def words(rng: np.random.Generator) -> list[str]:
    """The vocabulary, most frequent word first; frequent words are short."""
    letters = np.array(list("eeetaaooinnsshrrdlucmwfgypbvk"))
    found: dict[str, None] = {}
    while len(found) < NUM_WORDS:
        size = min(2 + len(found).bit_length() // 3 + int(rng.integers(3)), 12)
        found["".join(rng.choice(letters, size))] = None
    return list(found)


def pairs(vocabulary: list[str], count: int, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Sentences and their translations."""
    translations = [word[::-1] for word in vocabulary]
    cumulative = np.cumsum(1 / np.arange(1, len(vocabulary) + 1))
    for start in range(0, count, LINES_AT_A_TIME):
        lengths = rng.poisson(MEAN_LENGTH, min(LINES_AT_A_TIME, count - start)).clip(1, LONGEST)
        draws = rng.random(int(lengths.sum())) * cumulative[-1]
        ids = cumulative.searchsorted(draws).tolist()
        at = 0
        for length in lengths.tolist():
            line = ids[at : at + length]
            at += length
            turned = [i for two in zip(line[1::2], line[::2], strict=False) for i in two]
            turned += line[len(turned) :]
            yield (
                " ".join([vocabulary[i] for i in line]),
                " ".join([translations[i] for i in turned]),
            )


def write(folder: Path, split: str, count: int) -> None:
    """Write a split in the two languages, `a` and `b`."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, rng = words(np.random.default_rng(0)), np.random.default_rng(SPLITS[split])
    src, tgt = (folder / f"{split}.{suffix}" for suffix in "ab")
    with src.open("w", encoding="utf-8") as a, tgt.open("w", encoding="utf-8") as b:
        for one, other in pairs(vocabulary, count, rng):
            a.write(f"{one}\n")
            b.write(f"{other}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("pairs", type=int)
    arguments = parser.parse_args()
    write(arguments.folder, "train", arguments.pairs)
    write(arguments.folder, "dev", 200)
