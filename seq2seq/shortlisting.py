"""The shortlists of a run."""

import logging

import torch

from seq2seq.data.encoding import EncodedCorpus
from seq2seq.data.lexicon import Lexicon, train_lexicon
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.errors import RunError
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
    if path.exists():
        lexicon = Lexicon.load(path)
    elif not path.parent.is_dir():
        raise RunError(
            f"{path.parent}: no training pairs to learn decoding.shortlist from; prepare the "
            "recipe again, or set it to 0"
        )
    else:
        logger.info("learning from the training pairs what source pieces translate to")
        lexicon = train_lexicon(EncodedCorpus(path.parent), *sizes)
        try:
            lexicon.save(path)
        except OSError as error:
            logger.warning("%s: cannot be written (%s); learnt again next time", path, error)
    return Shortlister(
        torch.from_numpy(lexicon.pieces[:, :num].copy()).to(device),
        torch.from_numpy(lexicon.frequent).to(device),
        sizes[1],
        joint=tokenizers.src.vocabulary == tokenizers.tgt.vocabulary,
    )
