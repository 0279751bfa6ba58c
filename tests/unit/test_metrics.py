import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sacrebleu

from seq2seq.errors import DataError
from seq2seq.metrics import Score, build_sentence_scorer, score
from seq2seq.recipe import Evaluation

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
        ({"metrics": ["bleu"]}, ["-m", "bleu"], 1),
        ({"metrics": ["chrf"]}, ["-m", "chrf"], 2),
        ({"metrics": ["ter"]}, ["-m", "ter"], 1),
        ({"metrics": ["ter"]}, ["-m", "ter"], 2),
        ({"metrics": ["bleu"], "tokenize": "none"}, ["-m", "bleu", "-tok", "none"], 2),
        ({"metrics": ["bleu"], "tokenize": "intl", "lowercase": True}, ["-tok", "intl", "-lc"], 1),
        ({"metrics": ["chrf"], "lowercase": True}, ["-m", "chrf", "--chrf-lowercase"], 1),
    ],
)
def test_numbers_and_signatures_are_those_of_the_sacrebleu_command(
    tmp_path: Path, section: dict[str, object], options: list[str], num_refs: int
) -> None:
    hypotheses, *references = noisy_corpus()
    references = references[:num_refs]
    (ours,) = score(hypotheses, references, Evaluation.model_validate(section | {"bootstrap": 50}))
    arguments = [*options, "--confidence", "--confidence-n", "50", "-w", str(DIGITS)]
    theirs = json.loads(command(tmp_path, hypotheses, references, *arguments))
    assert ours.name == theirs["name"]
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
    section = Evaluation(metrics=("bleu", "chrf", "ter", "accuracy"), bootstrap=200)
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
    program = "import sys, seq2seq.metrics; print({'torch', 'sacrebleu'} & set(sys.modules))"
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
