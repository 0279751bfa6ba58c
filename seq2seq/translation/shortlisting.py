"""The shortlists of a run."""

import logging
from pathlib import Path

import torch
from torch import Tensor

from seq2seq import checkpoint
from seq2seq.data.encoding import EncodedCorpus
from seq2seq.data.lexicon import train_lexicon
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.errors import FileError, RunError
from seq2seq.model.shortlist import Shortlister
from seq2seq.run import Run

logger = logging.getLogger(__name__)


def build_shortlister(
    run: Run, tokenizers: Tokenizers, num: int, device: torch.device
) -> Shortlister | None:
    """What finds the target pieces to look at, `num` for each source piece; None for 0.

    Raises:
        RunError: it has to be learnt, and the training pairs are gone.
    """
    if not num:
        return None
    path, sizes = run.lexicon_file, (len(tokenizers.src), len(tokenizers.tgt))
    lexicon = _load(path)
    if lexicon is None:
        lexicon = _learn(path, *sizes)
    return Shortlister(
        lexicon["pieces"][:, :num].to(device),
        lexicon["frequent"].to(device),
        sizes[1],
        joint=tokenizers.are_joint,
    )


def _load(path: Path) -> dict[str, Tensor] | None:
    """What was learnt before; None if nothing was, or it is damaged."""
    if not path.exists():
        return None
    try:
        return checkpoint.load(path).tensors
    except checkpoint.DamagedError as error:
        logger.warning("%s; learnt again", checkpoint.without_remedy(error))
        return None


def _learn(path: Path, src_size: int, tgt_size: int) -> dict[str, Tensor]:
    """Learn from the training pairs beside a file, and write it if that can be."""
    if not path.parent.is_dir():
        raise RunError(
            f"{path.parent}: no training pairs to learn decoding.shortlist from; prepare the "
            "recipe again, or set it to 0 (data.streaming keeps none)"
        )
    logger.info("learning from the training pairs what source pieces translate to")
    learnt = train_lexicon(EncodedCorpus(path.parent), src_size, tgt_size)
    tensors = {name: torch.from_numpy(part) for name, part in vars(learnt).items()}
    try:
        checkpoint.save(path, checkpoint.Checkpoint(tensors, {}))
    except FileError as error:
        logger.warning("%s (learnt again next time)", error)
    return tensors
