import io
import re
from types import SimpleNamespace

import pytest
import sentencepiece
import torch
from tiny import build_section, randomise

from seq2seq.data.tokenizer import Tokenizer
from seq2seq.model.ensemble import Ensemble
from seq2seq.model.seq2seq import Seq2Seq
from seq2seq.probability import find_probabilities

TEXTS = [
    *(
        "1 2",
        "1\u00a02",
        "1\u30002",
        "\u3000",
        "1 \u200b 2",
        "1\r2",
        "1\n 2",
        "\r",
        "1 \x01 2",
        "\0",
    ),
    *("", "  ", "\u2581 1", "1 </s> 2", "<unk>", "\u263a\u263a 1", "\u00bd 1"),
]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("options", [{}, {"byte_fallback": True, "vocab_size": 300}], ids=str)
@pytest.mark.parametrize("rule", ["identity", "nmt_nfkc"])
def test_words_are_those_of_the_tokenizer(rule: str, options: dict, turned: bool) -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["1 2 3 4 5"] * 9),
        model_writer=model,
        model_type="bpe",
        normalization_rule_name=rule,
        hard_vocab_limit=False,
        minloglevel=2,
        **{"vocab_size": 20} | options,
    )
    plain = Tokenizer(model.getvalue())
    tokenizer = plain.reversed() if turned else plain
    network = Seq2Seq(build_section(), len(plain), len(plain))
    randomise(network)
    models = SimpleNamespace(
        exact=Ensemble([network]),
        sources=[plain],
        target=tokenizer,
        device=torch.device("cpu"),
    )
    for text, found in zip(
        TEXTS, find_probabilities(models, [("1", text) for text in TEXTS]), strict=True
    ):
        *words, (end, _) = found.words
        assert (found.tgt, end) == (text, "</s>")
        total = sum(value for _, value in found.words)
        assert not words or total == pytest.approx(found.log_prob, abs=1e-3)
        if rule == "identity":
            assert [word for word, _ in words] == re.findall("[^ \0\r\n]+", text)
