"""The special pieces, which have the same ids in every vocabulary."""

PAD = 0
"""Fills the end of the shorter sequences of a batch."""

UNK = 1
"""Stands for what has no piece."""

BOS = 2
"""What the decoder reads before the first target piece."""

EOS = 3
"""Ends every source and target sequence; lengths count it."""
