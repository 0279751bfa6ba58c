"""Phrases that must not stand in a text, however tokens spell them."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seq2seq.special import EOS

State = tuple[bool, frozenset[tuple[int, int]]]
"""(The text ends in a letter, places in phrases that it ends at: phrase, characters)."""

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_START: State = (False, frozenset())
_LETTER, _SIGN = 0, 1
"""Classes of the characters that no phrase has; those of others follow."""


class Spelling:
    """What tokens write.

    Args:
        texts: what each token adds to a text; "" if nothing.
        is_letter: whether a character makes one word with another such beside it.

    Attributes:
        letters: (C,) for each character that there is, whether it is a letter.
        places: where each character stands there.
        codes: (V, L) places of each token's characters, C behind the last.
        can_go_on: whether some token is made of letters alone, so that it ends no word.
    """

    def __init__(self, texts: Sequence[str], is_letter: Callable[[str], bool]) -> None:
        chars = sorted(set().union(*texts))
        self.is_letter = is_letter
        self.letters = np.array([*map(is_letter, chars)], dtype=np.bool_)
        self.places = {char: place for place, char in enumerate(chars)}
        self.codes = np.full((len(texts), max(1, *map(len, texts))), len(chars))
        for row, text in zip(self.codes, texts, strict=True):
            row[: len(text)] = [self.places[char] for char in text]
        self.can_go_on = any(text and all(map(is_letter, text)) for text in texts)


class Banned:
    """Phrases that must not stand in a text as whole words.

    An automaton that reads characters knows how much of which phrases the text so far ends in (cf.
    Aho & Corasick 1975). A phrase that ends in a letter stands there once a character follows that
    is none, or could only be followed by such, any other at once. What a token makes of a state
    follows from its characters, and is found when a hypothesis first comes by.

    Args:
        phrases: none of them empty.
        spelling: of the tokens.

    Attributes:
        vocab_size: V.
        size: number of states; the first one is where texts begin.
        pardoned: (size,) each state without the phrases that end there.
    """

    def __init__(self, phrases: Sequence[str], spelling: Spelling) -> None:
        self._phrases = [[*phrase] for phrase in phrases]
        self._is_letter = spelling.is_letter
        self._can_go_on = spelling.can_go_on
        self.vocab_size = len(spelling.codes)
        self._chars = sorted(set().union(*self._phrases))
        self._classes = {char: i for i, char in enumerate(self._chars, start=_SIGN + 1)}
        self._build()
        # Of all characters that tokens write, and of none.
        none = len(self._chars) + _SIGN + 1
        classes = np.append(np.where(spelling.letters, _LETTER, _SIGN), none)
        for char in self._classes.keys() & spelling.places.keys():
            classes[spelling.places[char]] = self._classes[char]
        self._columns = np.ascontiguousarray(classes[spelling.codes].T)
        self._writes = self._columns[0] != none
        self._read: dict[int, tuple[Tensor, Tensor]] = {}

    def stands_in(self, text: str) -> bool:
        """Whether one of the phrases stands in a text."""
        state = 0
        for char in (*text, " "):
            place = state, self._class_of(char)
            if self._found[place]:
                return True
            state = int(self._next[place])
        return False

    def read(self, state: int) -> tuple[Tensor, Tensor]:
        """The state (V,) after each token, and whether (V,) a phrase stands in the text then."""
        if state not in self._read:
            states, found = self._advance(state)
            if not self._can_go_on:
                for after in np.unique(states[~found & self._is_open[states]]):
                    _, lost = self._advance(after)
                    if lost[self._writes].all():
                        found |= states == after
            self._read[state] = torch.from_numpy(states), torch.from_numpy(found)
        return self._read[state]

    def _advance(self, state: int) -> tuple[Numbers, Flags]:
        states = np.full(self.vocab_size, state)
        found = np.zeros(self.vocab_size, dtype=np.bool_)
        for column in self._columns:
            found |= self._found[states, column]
            states = self._next[states, column]
        return states, found

    def _class_of(self, char: str) -> int:
        other = _LETTER if self._is_letter(char) else _SIGN
        return self._classes.get(char, other)

    def _build(self) -> None:
        states, numbers = [_START], {_START: 0}

        def number(state: State) -> int:
            if state not in numbers:
                numbers[state] = len(states)
                states.append(state)
            return numbers[state]

        following, found, is_open, pardoned = [], [], [], []
        for state in states:  # It grows meanwhile.
            steps = [self._step(state, kind) for kind in range(len(self._chars) + _SIGN + 1)]
            following.append([*(number(after) for after, _ in steps), numbers[state]])
            found.append([*(stands for _, stands in steps), False])
            in_letter, places = state
            begun = frozenset(place for place in places if not self._is_over(*place))
            is_open.append(begun != places)
            pardoned.append(number((in_letter, begun)))
        self._next, self._found, self._is_open = map(np.array, (following, found, is_open))
        self.size, self.pardoned = len(states), torch.tensor(pardoned)

    def _step(self, state: State, kind: int) -> tuple[State, bool]:
        """The state after a character of a class, and whether a phrase is known to stand then."""
        in_letter, places = state
        char = self._chars[kind - _SIGN - 1] if kind > _SIGN else None
        letter = kind == _LETTER if char is None else self._is_letter(char)
        stands, after = False, set()
        if not (in_letter and letter):
            places = places | {(phrase, 0) for phrase in range(len(self._phrases))}
        for phrase, place in places:
            if self._is_over(phrase, place):
                stands |= not letter
            elif self._phrases[phrase][place] != char:
                continue
            elif letter or not self._is_over(phrase, place + 1):
                after.add((phrase, place + 1))
            else:
                stands = True
        return (letter, frozenset(after)), stands

    def _is_over(self, phrase: int, place: int) -> bool:
        return place == len(self._phrases[phrase])


class BanText:
    """Never writes what is banned, each sentence its own; see `Constraint`.

    Args:
        banned: of each sentence, absent where nothing is; something is somewhere.
        prefixes: tokens (B,) at the beginning that were asked for, whatever they write.
        limits: most tokens (B,), end mark counted: texts may end there without one.
    """

    def __init__(
        self, banned: Sequence[Banned | None], prefixes: Tensor, limits: Tensor | None = None
    ) -> None:
        device = prefixes.device
        automata = [*dict.fromkeys(each for each in banned if each is not None)]
        sizes = [each.size for each in automata]
        # The states of all have a number; the last one is where nothing is banned.
        self.offsets = [0, *accumulate(sizes)]
        free = self.offsets[-1]
        self.automata = dict(zip(self.offsets, automata, strict=False))
        begin = {each: offset for offset, each in self.automata.items()} | {None: free}
        self.starts = torch.tensor([begin[each] for each in banned], device=device)
        pardoned = [each.pardoned + offset for offset, each in self.automata.items()]
        self.pardoned = torch.cat((*pardoned, torch.tensor([free]))).to(device)
        self.prefixes = prefixes
        self.limits = torch.zeros_like(prefixes) if limits is None else limits
        self.rows = torch.full((free + 1,), -1, device=device)
        self.rows[free] = 0
        vocab = automata[0].vocab_size
        self.following = torch.full((1, vocab), free, device=device)
        self.found = torch.zeros(1, vocab, dtype=torch.bool, device=device)

    def __call__(self, log_probs: Tensor, tokens: Tensor, owners: Tensor) -> None:
        """See `Constraint`."""
        states, asked = self.starts[owners], self.prefixes[owners]
        for place in range(tokens.shape[1] + 1):
            states = torch.where(asked == place, self.pardoned[states], states)
            rows = self._look_up(states)
            if place < tokens.shape[1]:
                states = self.following[rows, tokens[:, place]]
        log_probs.masked_fill_(self.found[rows], float("-inf"))
        last = (self.limits[owners] == tokens.shape[1] + 1).nonzero().squeeze(1)
        if last.shape[0]:  # Nothing follows that would tell the end of a phrase.
            after = self.following[rows[last]]
            places = self._look_up(after.flatten())
            ending = self.found[places, EOS].view_as(after)
            log_probs[last] = log_probs[last].masked_fill(ending, float("-inf"))

    def _look_up(self, states: Tensor) -> Tensor:
        """The rows (N,) of states (N,), those of new ones made."""
        rows = self.rows[states]
        new = torch.unique(states[rows < 0])
        if not new.shape[0]:
            return rows
        following, found = [self.following], [self.found]
        for state in new.tolist():
            offset = self.offsets[bisect_right(self.offsets, state) - 1]
            after, stands = self.automata[offset].read(state - offset)
            following.append((after + offset).to(states.device).unsqueeze(0))
            found.append(stands.to(states.device).unsqueeze(0))
        start = len(self.following)
        self.rows[new] = torch.arange(start, start + len(new), device=states.device)
        self.following, self.found = torch.cat(following), torch.cat(found)
        return self.rows[states]
