"""Phrases that must appear in the output (dynamic beam allocation, Post & Vilar 2018)."""

from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.search.beam import Candidates, candidates
from seq2seq.search.loop import Live
from seq2seq.search.requests import Phrases
from seq2seq.special import EOS


class _Got(NamedTuple):
    """What hypotheses have got of the C phrases of their sentences.

    Attributes:
        begun: (N, C, L) where they end in the first tokens of a phrase.
        met: (N, C) phrases that stand in them.
        unsettled: (N, C) those of them that the next token may break.
    """

    begun: Tensor
    met: Tensor
    unsettled: Tensor


class Required:
    """Chooses so that hypotheses with all phrases are found, for all sentences at once.

    Besides the likeliest continuations, those that a missing phrase asks for and the best one of
    each hypothesis are candidates. They form banks by how many tokens of the phrases they have got,
    and the beam takes the best of each bank, then the second best, and so on, the fullest bank
    first: an allocation that gives away what a bank doesn't fill, by sorting alone (cf. Hu et al.
    2019). Only what has all phrases may end, or reach the limit. How many tokens a hypothesis has
    got is a function of its tokens; those of a phrase are lost where its last word goes on.
    Sentences without phrases are searched as ever.

    Args:
        phrases: of the sentences.
    """

    groups = 1

    def __init__(self, phrases: Phrases) -> None:
        self.phrases = phrases

    def __call__(self, live: Live, log_probs: Tensor, size: int) -> Candidates:
        """See `Choice`."""
        batch, width = live.log_probs.shape
        own = self.phrases.of(live.owners())
        got = _Got(own.begun(live.tokens), *own.within(live.tokens))
        log_probs[:, EOS] = log_probs[:, EOS].masked_fill(~got.met.all(dim=1), float("-inf"))
        _, parents, tokens = candidates(live.log_probs, log_probs, 2 * size)
        # Candidates as numbers: token first, since that is how equal ones are ordered.
        likeliest = tokens * width + parents
        wanted = self._wanted(own, got, log_probs)
        rows = torch.arange(width, device=wanted.device).repeat(batch).unsqueeze(1)
        asked = (wanted * width + rows).view(batch, -1)
        codes = torch.cat((likeliest, asked), dim=1).sort(dim=1).values
        tokens, parents = codes // width, codes % width
        starts = torch.arange(batch, device=codes.device).unsqueeze(1) * width
        scores = live.log_probs.gather(1, parents) + log_probs[parents + starts, tokens]
        again = torch.zeros_like(codes, dtype=torch.bool)
        again[:, 1:] = codes[:, 1:] == codes[:, :-1]
        scores = scores.masked_fill(again, float("-inf"))
        banks, has_all = self._banks(own, got, parents + starts, tokens)
        at_limit = (live.tokens.shape[1] + 1 >= live.limits).unsqueeze(1)
        scores = scores.masked_fill(at_limit & ~has_all, float("-inf"))
        order = _take_turns(scores, banks)[:, : 2 * size]
        return Candidates(
            scores.gather(1, order), (parents + starts).gather(1, order), tokens.gather(1, order)
        )

    def _wanted(self, own: Phrases, got: "_Got", log_probs: Tensor) -> Tensor:
        """The next token of each missing phrase and the best of all, (N, C + 1).

        Of a phrase that the next token may break, or that cannot begin in this place, it is the
        best one that doesn't break it.
        """
        best = log_probs.argmax(dim=1, keepdim=True)
        breaking = own.breaks(torch.arange(log_probs.shape[1], device=log_probs.device))
        settling = log_probs.masked_fill(breaking, float("-inf")).argmax(dim=1, keepdim=True)
        may_be = got.begun & own.places
        place = _longest(may_be)
        following = own.ids.gather(2, place.unsqueeze(2)).squeeze(2)
        following = torch.where(got.met, best, following)
        must_wait = got.unsettled | ~(got.met | may_be.any(dim=2))
        following = torch.where(must_wait, settling, following)
        return torch.cat((following, best), dim=1)

    def _banks(
        self, own: Phrases, got: "_Got", rows: Tensor, tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tokens of the phrases that candidates (B, M) have got, and which have got all of them.

        A phrase that the next token may break counts for one more when it is past that, and what
        is begun of another doesn't count if going on with it would do so: otherwise those that have
        just got the phrase, being likelier, would take the beam from those that can go on to the
        next one, step after step. Where texts are written from their ends, a place that a phrase
        can begin in counts for one more.
        """
        ids, lengths = own.ids[rows], own.lengths[rows]
        said = got.begun[rows] & (ids == tokens.unsqueeze(2).unsqueeze(3))
        said = torch.cat((torch.zeros_like(said[..., :1]), said), dim=3)
        place = _longest(said)
        broken = got.unsettled[rows] & own.breaks(tokens).unsqueeze(2)
        kept = got.met[rows] & ~broken
        done = kept | (place == lengths)
        if own.backwards:
            can_begin = ~own.breaks(tokens).unsqueeze(2) | (place > 0)
            part = (place + (own.open[rows] & can_begin)).masked_fill(done, 0).amax(dim=2)
            return ((lengths + own.open[rows]) * done).sum(dim=2) + part, done.all(dim=2)
        unsafe = own.unsafe[rows]
        whole = (lengths * done + (kept & unsafe)).sum(dim=2)
        unsettled = (done & ~kept & unsafe).any(dim=2, keepdim=True)
        following = ids.gather(3, place.clamp(max=ids.shape[3] - 1).unsqueeze(3)).squeeze(3)
        in_vain = done | (unsettled & own.breaks(following))
        part = place.masked_fill(in_vain, 0).amax(dim=2)
        return whole + part, done.all(dim=2)


def _longest(begun: Tensor) -> Tensor:
    """The largest place that is set, (…), 0 where none is, of (…, L)."""
    return (begun * torch.arange(begun.shape[-1], device=begun.device)).amax(dim=-1)


def _take_turns(scores: Tensor, banks: Tensor) -> Tensor:
    """The order in which banks (B, M) take turns, each giving its best by scores (B, M) first.

    Of equal scores the first stands first; what cannot be is last.
    """
    by_score = torch.sort(scores, dim=1, descending=True, stable=True).indices
    ranked = torch.sort(banks.gather(1, by_score), dim=1, descending=True, stable=True)
    by_bank = by_score.gather(1, ranked.indices)
    place = torch.arange(banks.shape[1], device=banks.device).expand_as(banks)
    starts = torch.ones_like(banks, dtype=torch.bool)
    starts[:, 1:] = ranked.values[:, 1:] != ranked.values[:, :-1]
    turn = place - torch.where(starts, place, 0).cummax(dim=1).values
    never = scores.gather(1, by_bank) == float("-inf")
    turn = turn.masked_fill(never, banks.shape[1])
    return by_bank.gather(1, torch.sort(turn, dim=1, stable=True).indices)
