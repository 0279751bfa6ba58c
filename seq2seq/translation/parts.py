"""Sentences searched or read together, as many of them as memory has room for."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TypeVar

import torch

from seq2seq.device import rows_within_memory

R = TypeVar("R")

_RAN_OUT = "memory ran out; batches are split in two where it does, which takes time"


def search_in_parts(
    search: Callable[[list[int]], list[R]],
    batch: list[int],
    device: torch.device,
    lengths: Sequence[int],
    width: int,
) -> list[R]:
    """What a search makes of each sentence of a batch.

    Args:
        search: of sentences by their places.
        batch: the places.
        device: where it is done.
        lengths: source pieces by place.
        width: hypotheses of a sentence.

    Raises:
        RunError: memory does not suffice for a single sentence.
    """
    parts = rows_within_memory(
        search,
        batch,
        device,
        warning=f"decoding.batch_size: {_RAN_OUT}; lower it",
        refusal=lambda rows: (
            f"decoding.beam_size: there is no memory for {width:,} hypotheses of a sentence of "
            f"{lengths[rows[0]]:,} source pieces; lower it or decoding.max_length, or cut the line"
        ),
    )
    return list(chain.from_iterable(parts))


def read_in_parts(
    read: Callable[[list[int]], list[R]],
    batch: list[int],
    device: torch.device,
    src_lengths: Sequence[int],
    tgt_lengths: Sequence[int],
) -> list[R]:
    """What a forced pass finds of each translation of a batch; see `search_in_parts`."""
    parts = rows_within_memory(
        read,
        batch,
        device,
        warning=f"forced pass over translations: {_RAN_OUT}",
        refusal=lambda rows: (
            "forced pass over translations: there is no memory for one of "
            f"{tgt_lengths[rows[0]]:,} pieces of a source of {src_lengths[rows[0]]:,}; cut the line"
        ),
    )
    return list(chain.from_iterable(parts))
