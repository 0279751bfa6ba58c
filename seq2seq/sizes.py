"""Sizes by the number of training pairs, and learning rates: where `choices` begin."""

import math
from dataclasses import dataclass

OUTPUT_MULTIPLE = 64
"""Products with so many outputs, or any multiple, go at full speed. Of 5,851 outputs for 320 rows
of 384 features they took 1.3 times as long as of 5,856 in float32, and 1.8 times in int8 (AVX2)."""


@dataclass(frozen=True)
class Size:
    """What suits a corpus of so many pairs; layers and sizes are (encoder, decoder)."""

    pairs: float
    vocab_size: int
    embedding_dim: int
    num_layers: tuple[int, int]
    hidden_size: tuple[int, int]
    dropout: float
    word_dropout: float
    batch_size: int
    learning_rate: float


# The more text, the more pieces occur often enough to be learnt, the larger a network it fills and
# the less that network must be kept from learning it by heart. Small batches make up for few pairs.
# 29,000 pairs: measured on Multi30k (development set). Fewer: Sennrich & Zhang (2019). More: Britz
# et al. (2017), Chen et al. (2018).
TEXT = (
    #    pairs up to  pieces  emb  layers  hidden       dropout  words  batch  rate
    Size(5_000,       2_000,  256, (1, 1), (256, 512),  0.5,     0.1,   16,    2e-3),
    Size(20_000,      4_000,  256, (1, 1), (256, 512),  0.4,     0.1,   32,    2e-3),
    Size(60_000,      8_000,  256, (1, 1), (256, 512),  0.3,     0.0,   64,    2e-3),
    Size(300_000,     16_000, 256, (2, 2), (256, 512),  0.2,     0.0,   64,    2e-3),
    Size(2_000_000,   24_000, 512, (2, 2), (512, 1024), 0.2,     0.0,   128,   1e-3),
    Size(math.inf,    32_000, 512, (2, 3), (512, 1024), 0.1,     0.0,   256,   1e-3),
)  # fmt: skip

# Letters, phonemes, commands: few symbols, short lines. Measured on pronunciation in French and
# Icelandic (development sets). Nothing is dropped from what is read: a symbol less is another word.
SYMBOLS = (
    #    pairs up to  pieces  emb  layers  hidden       dropout  words  batch  rate
    Size(2_000,       8_000,  128, (1, 1), (256, 256),  0.3,     0.0,   16,    2e-3),
    Size(20_000,      8_000,  128, (1, 2), (256, 256),  0.3,     0.0,   32,    2e-3),
    Size(200_000,     8_000,  128, (1, 2), (256, 512),  0.2,     0.0,   64,    2e-3),
    Size(math.inf,    8_000,  256, (2, 2), (256, 512),  0.1,     0.0,   128,   1e-3),
)  # fmt: skip

# Symbols that are copied. Measured on inflection in Turkish (1,000 pairs) and German (10,000). What
# copying leaves to be learnt takes two layers, and more dropout.
COPIES = (
    #    pairs up to  pieces  emb  layers  hidden       dropout  words  batch  rate
    Size(2_000,       8_000,  128, (1, 2), (256, 256),  0.5,     0.0,   16,    2e-3),
    Size(20_000,      8_000,  128, (1, 2), (256, 256),  0.4,     0.0,   32,    2e-3),
    Size(200_000,     8_000,  128, (1, 2), (256, 512),  0.3,     0.0,   64,    2e-3),
    Size(math.inf,    8_000,  256, (2, 2), (256, 512),  0.2,     0.0,   128,   1e-3),
)  # fmt: skip

RATES = {
    "adam": (1e-6, 1e-3, 2e-2),
    "adamw": (1e-6, 1e-3, 2e-2),
    "radam": (1e-6, 1e-3, 2e-2),
    "nadam": (1e-6, 1e-3, 2e-2),
    "adamax": (1e-6, 2e-3, 5e-2),
    "sgd": (1e-2, 1.0, 20.0),
    "adadelta": (5e-2, 1.0, 10.0),
}
"""Learning rates below which little is learnt, usual ones, and those above which all diverges."""
