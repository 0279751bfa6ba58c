"""What is asked of single sentences."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq.search.banned import Banned
from seq2seq.special import PAD

Ids = Sequence[int]


@dataclass(frozen=True)
class Words:
    """Where tokens stand in words, in the order in which they are written.

    Attributes:
        starts: tokens that begin a word.
        going_on: (V,) tokens that go on with the word before them, if it is one.
        open: (V,) tokens that end in a word that can go on.
        backwards: words are written from their ends.
    """

    starts: Sequence[int]
    going_on: Tensor
    open: Tensor
    backwards: bool = False


@dataclass(frozen=True)
class Request:
    """What is asked of the output for one sentence; all ids are of the target.

    Attributes:
        prefix: what it begins with.
        whole: the prefix ends with a word, so that what follows begins another.
        required: phrases that appear in it as whole words.
        banned: what holds the phrases that don't.
        key: non-negative number by which its samples are drawn.
    """

    prefix: Ids = ()
    whole: bool = False
    required: Sequence[Ids] = ()
    banned: Sequence[Banned] = ()
    key: int = 0

    @property
    def asks(self) -> bool:
        """Whether anything is asked."""
        return bool(self.prefix or self.required or self.banned)

    @property
    def room(self) -> int:
        """Tokens that it takes at least to grant it, end mark counted."""
        return len(self.prefix) + sum(map(len, self.required)) + 1


@dataclass(frozen=True)
class Phrases:
    """Up to C phrases of up to L tokens for each of B sentences.

    Attributes:
        ids: (B, C, L), padded.
        lengths: (B, C); 0 where there is no phrase.
        open: (B, C) those that some tokens must not stand beside, as both would be one word.
        breaking: (V,) these tokens; absent where no phrase is open.
        backwards: they must not stand before a phrase; otherwise they must not follow it.
    """

    ids: Tensor
    lengths: Tensor
    open: Tensor
    breaking: Tensor | None = None
    backwards: bool = False

    def of(self, sentences: Tensor) -> "Phrases":
        """Those of sentences (B',), by their places."""
        own = self.ids[sentences], self.lengths[sentences], self.open[sentences]
        return Phrases(*own, self.breaking, self.backwards)

    @property
    def unsafe(self) -> Tensor:
        """Phrases (B, C) that a token may break which follows them."""
        return torch.zeros_like(self.open) if self.backwards else self.open

    @property
    def places(self) -> Tensor:
        """Where a token of a phrase stands at all, (B, C, L)."""
        places = torch.arange(self.ids.shape[2], device=self.ids.device)
        return places < self.lengths.unsqueeze(2)

    def begun(self, tokens: Tensor) -> Tensor:
        """Where tokens (B, t) end in the first k tokens of a phrase, (B, C, L) for k from 0."""
        length = tokens.shape[1]
        found = []
        for k in range(self.ids.shape[2]):
            if k > length:
                found.append(torch.zeros_like(self.open))
                continue
            tail = tokens[:, length - k :].unsqueeze(1)
            same = (self.ids[:, :, :k] == tail).all(dim=2)
            if self.backwards and k < length:
                before = tokens[:, length - k - 1].unsqueeze(1)
                same = same & ~(self.breaks(before) & self.open)
            found.append(same)
        return torch.stack(found, dim=2)

    def within(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Which phrases (B, C) stand in tokens (B, t), and which of them do so until one goes on.

        Those of no length do.
        """
        size, length = self.ids.shape[2], tokens.shape[1]
        padded = torch.nn.functional.pad(tokens, (0, size + 1), value=PAD)
        windows = padded[:, :-1].unfold(1, size, 1).unsqueeze(2)
        beyond = torch.arange(size, device=tokens.device) >= self.lengths.unsqueeze(2)
        same = ((windows == self.ids.unsqueeze(1)) | beyond.unsqueeze(1)).all(dim=3)
        # Where what follows a phrase stands, by where the phrase begins, (B, t + 1, C).
        places = torch.arange(length + 1, device=tokens.device).view(-1, 1)
        behind = places + self.lengths.unsqueeze(1)
        if self.backwards:
            before = torch.nn.functional.pad(tokens, (1, 0), value=PAD).unsqueeze(2)
            same &= ~(self.breaks(before) & self.open.unsqueeze(1))
        else:
            following = padded.gather(1, behind.flatten(1)).view_as(behind)
            same &= ~(self.breaks(following) & self.open.unsqueeze(1))
        settled = same & ((behind < length) | ~self.unsafe.unsqueeze(1))
        stands = same.any(dim=1)
        return stands, stands & ~settled.any(dim=1)

    def breaks(self, tokens: Tensor) -> Tensor:
        """Which tokens break the open phrases that they stand beside."""
        if self.breaking is None:
            return torch.zeros_like(tokens, dtype=torch.bool)
        return self.breaking[tokens]


def build_phrases(
    phrases: Sequence[Sequence[Ids]], device: torch.device, words: Words | None = None
) -> Phrases:
    """The phrases of each sentence, none of them empty."""
    most = max([1, *map(len, phrases)])
    longest = max([1, *(len(ids) for own in phrases for ids in own)])
    ids = torch.full((len(phrases), most, longest), PAD)
    lengths = torch.zeros(len(phrases), most, dtype=torch.long)
    for sentence, own in enumerate(phrases):
        for place, phrase in enumerate(own):
            ids[sentence, place, : len(phrase)] = torch.tensor(phrase)
            lengths[sentence, place] = len(phrase)
    tensors = ids.to(device), lengths.to(device)
    if words is None:
        return Phrases(*tensors, torch.zeros_like(tensors[1], dtype=torch.bool))
    if words.backwards:
        is_open, breaking = words.going_on[ids[:, :, 0]], words.open
    else:
        last = ids.gather(2, (lengths - 1).clamp(min=0).unsqueeze(2)).squeeze(2)
        is_open, breaking = words.open[last], words.going_on
    return Phrases(*tensors, is_open.to(device), breaking.to(device), words.backwards)
