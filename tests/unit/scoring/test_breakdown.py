import random
from collections import Counter
from itertools import pairwise
from typing import get_args

import pytest

from seq2seq.recipe import Evaluation, Metric
from seq2seq.scoring.breakdown import NUM_BUCKETS, Bucket, by_length, by_rarity, word_frequencies
from seq2seq.scoring.metrics import Statistics, build_metrics, score

SECTION = Evaluation(metrics=get_args(Metric), bootstrap=0)


def corpus(num_lines: int = 80) -> tuple[list[str], list[str], list[str]]:
    rng = random.Random(4)
    words = [f"w{round(i**1.6)}" for i in range(30)]

    def lines() -> list[str]:
        sizes = (rng.choice([1, 2, 2, 2, 3, 8, 20]) for _ in range(num_lines))
        return [" ".join(rng.choices(words, range(1, 31), k=size)) for size in sizes]

    def noise(texts: list[str]) -> list[str]:
        return [
            " ".join(rng.choice(words) if rng.random() < 0.3 else word for word in line.split())
            for line in texts
        ]

    references = lines()
    return references, noise(references), noise(references)


def test_scores_by_length_are_those_of_these_lines_alone() -> None:
    references, *systems = corpus()
    lengths = [len(line.split()) for line in references]
    for name, metric in build_metrics(SECTION, [references]).items():
        buckets = by_length([Statistics(metric, lines, 0) for lines in systems], lengths)
        place = SECTION.metrics.index(name)
        for bucket in buckets:
            lines = [i for i, size in enumerate(lengths) if bucket.low <= size <= bucket.high]
            chosen = [references[i] for i in lines]
            assert bucket.size == len(lines) > 0
            for value, system in zip(bucket.values, systems, strict=True):
                alone = score([system[i] for i in lines], [chosen], SECTION)
                assert value == alone[place].value


@pytest.mark.parametrize("lengths", [[3], [0, 0], [1, 2, 3], [5, 5, 5, 1, 9], list(range(100))])
def test_every_line_is_in_one_bucket(lengths: list[int]) -> None:
    (metric,) = build_metrics(Evaluation(metrics=("wer",)), [["a"] * len(lengths)]).values()
    buckets = by_length([Statistics(metric, ["a"] * len(lengths), 0)], lengths)
    assert 1 <= len(buckets) <= NUM_BUCKETS
    assert sum(bucket.size for bucket in buckets) == len(lengths)
    for one, other in pairwise(buckets):
        assert one.high == other.low - 1
    assert (buckets[0].low, buckets[-1].high) == (min(lengths), max(lengths))
    if len(lengths) == 100:
        assert {bucket.size for bucket in buckets} == {20}


def test_f1_by_rarity_counts_each_word() -> None:
    references, *systems = corpus()
    train, _, _ = corpus(7)
    frequencies = word_frequencies(train, str.split)
    assert frequencies == Counter(" ".join(train).split())
    buckets = by_rarity(systems, references, frequencies, str.split)
    assert buckets[0].low == buckets[0].high == 0  # words that training hasn't seen
    assert sum(bucket.size for bucket in buckets) == len(" ".join(references).split())
    for bucket in buckets:

        def is_in(word: str, bucket: Bucket = bucket) -> bool:
            return bucket.low <= frequencies[word] <= (bucket.high or 0)

        for value, lines in zip(bucket.values, systems, strict=True):
            right = produced = expected = 0
            for line, reference in zip(lines, references, strict=True):
                left = [word for word in reference.split() if is_in(word)]
                expected += len(left)
                for word in filter(is_in, line.split()):
                    produced += 1
                    if word in left:
                        left.remove(word)
                        right += 1
            precision, recall = right / produced if produced else 0, right / expected
            f1 = 200 * precision * recall / (precision + recall) if right else 0
            assert value == pytest.approx(f1)


def test_labels() -> None:
    labels = [Bucket(low, high, 1, ()).label for low, high in ((0, 0), (2, 4), (1000, None))]
    assert labels == ["0", "2-4", "1000+"]
