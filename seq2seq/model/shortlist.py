"""Search over the target tokens that a batch of sources can give, instead of all of them."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from seq2seq.special import EOS, PAD, UNK


@dataclass(frozen=True)
class Shortlist:
    """The target tokens that search looks at.

    Attributes:
        ids: (V',) ascending; the special ones, which come first, are among them.
        allowed: (B, V') which of them are for a sentence, so that its neighbours change nothing.
    """

    ids: Tensor
    allowed: Tensor

    def select(self, sentences: Tensor) -> "Shortlist":
        """Keep the given sentences, (B',)."""
        return replace(self, allowed=self.allowed.index_select(0, sentences))


class Shortlister:
    """Finds the tokens for a batch.

    Args:
        pieces: (V_src, K) target ids for each source id.
        frequent: (F,) target ids for any source.
        vocab_size: V of the target.
        joint: whether source ids are target ids too, as far as there are any; then what can't be
            translated can be copied.
    """

    def __init__(self, pieces: Tensor, frequent: Tensor, vocab_size: int, *, joint: bool) -> None:
        self.pieces = pieces.clone()
        self.pieces[PAD] = EOS
        self.vocab_size = vocab_size
        self.joint = joint
        self.always = torch.zeros(vocab_size, dtype=torch.bool, device=pieces.device)
        self.always[frequent] = True
        self.always[UNK] = self.always[EOS] = True

    def __call__(self, src: Tensor) -> Shortlist:
        """The tokens for source ids (B, S)."""
        allowed = self.always.repeat(len(src), 1)
        allowed.scatter_(1, self.pieces[src].flatten(1), True)
        if self.joint:
            # What the target lacks is beyond its ids; the mark of the end is allowed anyway.
            allowed.scatter_(1, torch.where(src < self.vocab_size, src, EOS), True)
        used = allowed.any(dim=0)
        used[: EOS + 1] = True
        ids = used.nonzero().squeeze(1)
        allowed[:, :UNK] = False
        return Shortlist(ids, allowed[:, ids])
