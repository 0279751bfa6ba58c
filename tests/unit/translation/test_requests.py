import random

import pytest

from seq2seq.data.tokenizer import Tokenizer
from seq2seq.data.tokenizer_training import train_tokenizers
from seq2seq.recipe import Decoding
from seq2seq.recipe import Tokenizer as Section
from seq2seq.special import EOS
from seq2seq.translation.requests import Requests, Wish

RNG = random.Random(3)
WORDS = ["Hund", "Hunde", "Hündin", "und", "in", "Indien", "New York", "猫", "Dr.", "3,5"]
LINES = [" ".join(RNG.choices(WORDS, k=RNG.randint(1, 9))) for _ in range(400)]


@pytest.fixture(scope="module", params=["unigram", "bpe", "char", "word"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    section = Section(type=request.param, vocab_size=60)
    return train_tokenizers(lambda: ((line, line) for line in LINES), section).tgt


@pytest.mark.parametrize("turned", [False, True])
def test_what_is_banned_is_found_however_it_is_cut(tokenizer: Tokenizer, turned: bool) -> None:
    tokenizer = tokenizer.reversed() if turned else tokenizer
    requests = Requests(Decoding(banned_phrases=["Hund"]), tokenizer, tokenizer)
    wish = Wish(1, banned=["New York", " in ", "3,5", "ß", ""])
    (request,) = requests.of([""], [wish])
    assert len(request.banned) == 2
    phrases = ["Hund"], ["New York", "in", "3,5"]
    for seed, line in enumerate(LINES):
        ids = tokenizer.sample(line, 0.3, seed)
        for banned, own in zip(request.banned, phrases, strict=True):
            state, found = 0, False
            for token in [*ids, EOS]:
                following, stands = banned.read(state)
                found |= bool(stands[token])
                state = int(following[token])
            assert found == any(f" {phrase} " in f" {line} " for phrase in own), (line, own)
