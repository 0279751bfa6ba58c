import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import sacrebleu
from oracles import edit_distance

from seq2seq.errors import DataError
from seq2seq.recipe import Evaluation, Metric
from seq2seq.scoring import rates
from seq2seq.scoring.metrics import LOWER_IS_BETTER, METRICS, Score, build_sentence_scorer, score

WORDS = ["Der", "Hund", "läuft", "über", "die", "Straße", ",", "U.S.", "3,50", "Euro.", "„ja“"]
DIGITS = 12


def noisy_corpus(num_lines: int = 60) -> tuple[list[str], list[str], list[str]]:
    """Hypotheses and two sets of references that differ in words, order and case."""
    rng = random.Random(7)

    def noise(line: list[str]) -> str:
        words = [rng.choice(WORDS) if rng.random() < 0.2 else word for word in line]
        if rng.random() < 0.3:
            rng.shuffle(words)
        return " ".join(words).upper() if rng.random() < 0.1 else " ".join(words)

    lines = [[rng.choice(WORDS) for _ in range(rng.randint(1, 15))] for _ in range(num_lines)]
    return (
        [noise(line) for line in lines],
        [noise(line) for line in lines],
        [noise(line) for line in lines],
    )


def command(folder: Path, hypotheses: list[str], references: list[list[str]], *options: str) -> str:
    """What sacreBLEU's own command prints for these lines."""
    for name, lines in [("hyp", hypotheses), *((f"ref{i}", r) for i, r in enumerate(references))]:
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    refs = [str(folder / f"ref{i}") for i in range(len(references))]
    done = subprocess.run(
        [sys.executable, "-m", "sacrebleu", *refs, "-i", str(folder / "hyp"), *options],
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    return done.stdout


@pytest.mark.parametrize(
    ("section", "options", "num_refs"),
    [
        ({}, [], 1),
        ({}, [], 2),
        ({"metrics": ["chrf++"]}, ["-m", "chrf", "--chrf-word-order", "2"], 1),
        (
            {"tokenize": "intl", "lowercase": True, "metrics": ["bleu", "chrf++"]},
            "-tok intl -lc -m bleu chrf --chrf-lowercase --chrf-word-order 2".split(),
            2,
        ),
        ({"tokenize": "none"}, ["-tok", "none"], 2),
        ({"tokenize": "char", "metrics": ["bleu"]}, ["-m", "bleu", "-tok", "char"], 1),
        ({"tokenize": "zh", "metrics": ["bleu"]}, ["-m", "bleu", "-tok", "zh"], 2),
    ],
)
def test_numbers_and_signatures_are_those_of_the_sacrebleu_command(
    tmp_path: Path, section: dict[str, object], options: list[str], num_refs: int
) -> None:
    hypotheses, *references = noisy_corpus()
    if "zh" in options:
        hypotheses, *references = (
            [line.replace("Hund", "狗狗").replace("die ", "那") for line in lines]
            for lines in (hypotheses, *references)
        )
    references = references[:num_refs]
    section = {"metrics": ["bleu", "chrf", "ter"], "bootstrap": 50} | section
    found = score(hypotheses, references, Evaluation.model_validate(section))
    if "-m" not in options:
        options = [*options, "-m", "bleu", "chrf", "ter"]
    arguments = [*options, "--confidence", "--confidence-n", "50", "-w", str(DIGITS)]
    output = json.loads(command(tmp_path, hypotheses, references, *arguments))
    by_name = {one["name"]: one for one in (output if isinstance(output, list) else [output])}
    assert len(by_name) == len(found)
    for ours in found:
        theirs = by_name[ours.name]
        assert ours.signature == theirs["signature"]
        assert round(ours.value, DIGITS) == theirs["score"]
        assert ours.interval is not None
        lower, upper = ours.interval
        assert (lower + upper) / 2 == pytest.approx(theirs["confidence_mean"], abs=1e-11)
        assert (upper - lower) / 2 == pytest.approx(theirs["confidence_var"], abs=1e-11)


@pytest.mark.parametrize(
    ("hypotheses", "references"),
    [
        (["x"] * 19 + ["the same"], ["the same"] * 20),
        (["x"] * 19 + ["the same"], [""] * 19 + ["the same"]),
        (["x"] * 20, ["the same"] * 20),
    ],
)
def test_resamples_without_a_match_have_scores_too(
    hypotheses: list[str], references: list[str]
) -> None:
    section = Evaluation(metrics=get_args(Metric), bootstrap=200)
    for result in score(hypotheses, [references], section):
        assert result.interval is not None
        lower, upper = result.interval
        assert lower <= result.value + 1e-4 and result.value - 1e-4 <= upper, result


def test_without_bootstrap_the_signature_says_so(tmp_path: Path) -> None:
    hypotheses, references, _ = noisy_corpus()
    (ours,) = score(hypotheses, [references], Evaluation(metrics=("bleu",), bootstrap=0))
    theirs = json.loads(command(tmp_path, hypotheses, [references], "-w", str(DIGITS)))
    assert (ours.signature, ours.interval) == (theirs["signature"], None)
    assert round(ours.value, DIGITS) == theirs["score"]


def accuracy(hypotheses: list[str], *references: list[str], **section: object) -> Score:
    values = {"metrics": ["accuracy"], **section}
    (result,) = score(hypotheses, references, Evaluation.model_validate(values))
    return result


def test_accuracy_is_the_share_of_lines_equal_to_a_reference() -> None:
    hypotheses = ["a b", "a  b", "A b", ""]
    assert accuracy(hypotheses, ["a b"] * 4).value == 25
    assert accuracy(hypotheses, ["a b"] * 4, lowercase=True).value == 50
    assert accuracy(hypotheses, ["a b"] * 4, ["", "", "", ""]).value == 50
    assert accuracy(["a b \r"], ["a b"]).value == 100
    assert accuracy(["a b"], [" a b"]).value == 100


def test_accuracy_has_a_signature_of_the_same_form() -> None:
    form = r"nrefs:2\|bs:1000\|seed:12345\|case:lc\|version:\d+\.\d+\.\d+"
    assert re.fullmatch(form, accuracy(["a"], ["a"], ["b"], lowercase=True).signature)
    form = r"nrefs:1\|case:mixed\|version:\d+\.\d+\.\d+"
    assert re.fullmatch(form, accuracy(["a"], ["a"], bootstrap=0).signature)


def test_the_interval_of_accuracy_is_that_of_a_share() -> None:
    hypotheses = ["right"] * 300 + ["wrong"] * 100
    result = accuracy(hypotheses, ["right"] * 400, bootstrap=20000)
    assert result.interval is not None
    half = 100 * 1.96 * (0.75 * 0.25 / 400) ** 0.5
    assert result.interval == pytest.approx((75 - half, 75 + half), abs=0.3)
    assert accuracy(["a"] * 9, ["a"] * 9).interval == (100, 100)


def test_the_intervals_of_rates_are_those_of_their_resamples() -> None:
    hypotheses, *references = noisy_corpus()
    section = Evaluation(metrics=("accuracy", "wer", "cer"), bootstrap=80)
    alone = section.model_copy(update={"bootstrap": 0})
    lines = np.random.default_rng(12345).choice(60, size=(80, 60))
    for place, result in enumerate(score(hypotheses, references, section)):
        values = []
        for draw in lines:
            drawn = [[texts[i] for i in draw] for texts in (hypotheses, *references)]
            values.append(score(drawn[0], drawn[1:], alone)[place].value)
        values.sort()
        assert result.interval is not None
        lower, upper = result.interval
        assert (lower + upper) / 2 == pytest.approx(np.mean(values))
        assert upper - lower == pytest.approx(values[-3] - values[2])


@pytest.mark.parametrize("lowercase", [False, True])
def test_error_rates_are_those_of_the_nearest_reference(lowercase: bool) -> None:
    hypotheses, *references = noisy_corpus()
    hypotheses, references = [*hypotheses, "", " x  y "], [[*r, "a b", "x y"] for r in references]
    section = Evaluation(metrics=("wer", "cer"), lowercase=lowercase, bootstrap=0)
    found = {result.name: result.value for result in score(hypotheses, references, section)}
    for name, units in (("WER", str.split), ("CER", lambda line: " ".join(line.split()))):
        wrong = total = 0
        for line, *alternatives in zip(hypotheses, *references, strict=True):
            if lowercase:
                line, alternatives = line.lower(), [one.lower() for one in alternatives]
            distances = [edit_distance(units(line), units(one)) for one in alternatives]
            least = min(distances)
            wrong += least
            nearest = [one for one, d in zip(alternatives, distances, strict=True) if d == least]
            total += max(len(units(one)) for one in nearest)
        assert found[name] == pytest.approx(100 * wrong / total, abs=1e-9)


def test_error_rates_without_words() -> None:
    section = Evaluation(metrics=("wer", "cer"), bootstrap=0)
    assert [one.value for one in score(["a", "b"], [["", ""]], section)] == [100, 100]
    assert [one.value for one in score(["", " "], [["", ""]], section)] == [0, 0]
    assert [one.value for one in score(["", "a"], [["a b", "a"]], section)] == pytest.approx(
        [200 / 3, 75]
    )


def test_the_bit_parallel_edit_distance_is_that_of_dynamic_programming() -> None:
    rng = random.Random()
    for _ in range(2000):
        one, other = ([rng.choice("abc") for _ in range(rng.randint(0, 12))] for _ in range(2))
        assert rates.edit_distance(one, other) == edit_distance(one, other), (one, other)
    long, longer = (rng.choices(range(9), k=size) for size in (150, 200))
    assert rates.edit_distance(long, longer) == edit_distance(long, longer)


def test_every_metric_of_a_recipe_is_there() -> None:
    assert tuple(METRICS) == get_args(Metric)
    assert set(LOWER_IS_BETTER) <= set(METRICS)


def test_worse_translations_have_worse_scores() -> None:
    _, references, worse = noisy_corpus()
    better = [
        one if i % 2 else other
        for i, (one, other) in enumerate(zip(references, worse, strict=True))
    ]
    section = Evaluation(metrics=get_args(Metric), bootstrap=0)
    scores = [score(lines, [references], section) for lines in (worse, better)]
    for name, low, high in zip(section.metrics, *scores, strict=True):
        assert (high.value < low.value) == (name in LOWER_IS_BETTER)


def test_scores_come_in_the_order_asked_for() -> None:
    hypotheses, references, _ = noisy_corpus(5)
    section = Evaluation(metrics=("ter", "accuracy", "bleu", "chrf"), bootstrap=0)
    names = [result.name for result in score(hypotheses, [references], section)]
    assert names == ["TER", "accuracy", "BLEU", "chrF2"]


def test_unequal_or_missing_lines_are_the_users_errors() -> None:
    with pytest.raises(DataError, match=r"references 2: 1 lines for 2 hypotheses; "):
        score(["a", "b"], [["a", "b"], ["a"]], Evaluation())
    with pytest.raises(DataError, match=r"hypotheses: no lines; "):
        score([], [[]], Evaluation())
    with pytest.raises(DataError, match=r"references: none; "):
        score(["a"], [], Evaluation())


def test_importing_costs_neither_torch_nor_sacrebleu() -> None:
    program = (
        "import sys, seq2seq.scoring.metrics; print({'torch', 'sacrebleu'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("tokenize", ["13a", "none"])
def test_scores_of_sentences_are_those_of_sacrebleu(lowercase: bool, tokenize: str) -> None:
    hypotheses, references, _ = noisy_corpus()
    hypotheses, references = [*hypotheses, "Ja .", ""], [*references, "Ja .", "Ja ."]
    section = Evaluation.model_validate({"lowercase": lowercase, "tokenize": tokenize})
    bleu = build_sentence_scorer("bleu", section)(hypotheses, references)
    chrf = build_sentence_scorer("chrf", section)(hypotheses, references)
    for i, (line, reference) in enumerate(zip(hypotheses, references, strict=True)):
        keys = {"lowercase": lowercase, "tokenize": tokenize, "use_effective_order": True}
        assert bleu[i] == sacrebleu.sentence_bleu(line, [reference], **keys).score
        if lowercase:
            line, reference = line.lower(), reference.lower()
        assert chrf[i] == sacrebleu.sentence_chrf(line, [reference]).score
    assert bleu[-2] == pytest.approx(100)
