import itertools
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from seq2seq.recipe import Evaluation, Metric
from seq2seq.scoring.metrics import LOWER_IS_BETTER, Statistics, build_metrics
from seq2seq.scoring.significance import LEVEL, TESTS, Difference, PairedTest

WORDS = ["Ein", "Hund", "läuft", ",", "U.S.", "3,50", "auf", "Straße."]


def systems(num_lines: int = 61) -> list[list[str]]:
    """References, a baseline, and two systems that are a little and clearly better."""
    rng = random.Random(5)

    def noise(lines: list[list[str]], share: float) -> list[list[str]]:
        return [[rng.choice(WORDS) if rng.random() < share else w for w in line] for line in lines]

    references = [[rng.choice(WORDS) for _ in range(rng.randint(1, 12))] for _ in range(num_lines)]
    baseline = noise(references, 0.3)
    texts = references, baseline, noise(baseline, 0.05), noise(references, 0.1)
    return [[" ".join(line) for line in lines] for lines in texts]


def statistics(section: Evaluation, references: list[list[str]], *texts: list[str]):
    metrics = build_metrics(section, references)
    return {
        name: [Statistics(metric, lines, section.bootstrap) for lines in texts]
        for name, metric in metrics.items()
    }


@pytest.mark.parametrize(
    ("test", "options", "num_references"),
    [
        ("bs", ["--paired-bs", "--paired-bs-n", "300"], 1),
        ("bs", ["--paired-bs", "--paired-bs-n", "300"], 2),
        ("ar", ["--paired-ar", "--paired-ar-n", "1100"], 1),
        ("ar", ["--paired-ar", "--paired-ar-n", "1100"], 2),
    ],
)
def test_p_values_are_those_of_the_sacrebleu_command(
    test: str, options: list[str], num_references: int, tmp_path: Path
) -> None:
    reference, *texts = systems()
    references = [reference, [line[::-1] for line in texts[-1]]][:num_references]
    for name, lines in zip("rqabc", [reference, references[-1], *texts], strict=True):
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    section = Evaluation(metrics=("bleu", "chrf++", "ter"), bootstrap=300)
    words = [*"rq"[:num_references], "-i", *"abc", "-m", "bleu", "chrf", "ter"]
    options = [*options, "--chrf-word-order", "2", "--format", "json"]
    done = subprocess.run(
        [sys.executable, "-c", SACREBLEU, *words, *options],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    theirs = json.loads(done.stdout)
    for name, (baseline, *others) in statistics(section, references, *texts).items():
        for system, row in zip(others, theirs[1:], strict=True):
            cell = row[baseline.score().name]
            fewer = name in LOWER_IS_BETTER
            found = PairedTest(test, 1100)(baseline, system, fewer_is_better=fewer)
            assert found.p_value == cell["p_value"]
            assert found.value == cell["score"] - theirs[0][baseline.score().name]["score"]
    assert len({row["BLEU"]["p_value"] for row in theirs[1:]}) == 2


SACREBLEU = """
import json, numpy
from sacrebleu.sacrebleu import main
encode = json.JSONEncoder.default
json.JSONEncoder.default = lambda self, value: (  # its command can't write chrF's intervals
    float(value) if isinstance(value, numpy.floating) else encode(self, value)
)
main()
"""


def test_randomization_comes_near_all_swaps_there_are() -> None:
    reference, baseline, _, system = (lines[:9] for lines in systems())
    section = Evaluation(metrics=get_args(Metric), bootstrap=0)
    for one, other in statistics(section, [reference], baseline, system).values():
        score = one.metric._aggregate_and_compute
        beyond = [
            abs(
                score([pair[k] for pair, k in zip(rows, swap, strict=True)]).score
                - score([pair[not k] for pair, k in zip(rows, swap, strict=True)]).score
            )
            > abs(one.value() - other.value())
            for rows in [list(zip(one.rows, other.rows, strict=True))]
            for swap in itertools.product([False, True], repeat=9)
        ]
        found = PairedTest("ar", 3000)(one, other, fewer_is_better=False)
        assert found.p_value == pytest.approx(sum(beyond) / len(beyond), abs=0.05)


@pytest.mark.parametrize("test", TESTS)
def test_better_is_better_for_every_metric(test: str) -> None:
    reference, baseline, similar, better = systems()
    section = Evaluation(metrics=get_args(Metric), bootstrap=200)
    paired = PairedTest(test, 200)
    found = statistics(section, [reference], baseline, similar, better, baseline)
    for name, (first, *others) in found.items():
        fewer = name in LOWER_IS_BETTER
        verdicts = [paired(first, other, fewer_is_better=fewer).verdict for other in others]
        assert verdicts[1:] == ["better", "equal"]
        assert paired(others[1], first, fewer_is_better=fewer).verdict == "worse"


def test_verdicts() -> None:
    assert Difference(0.1, LEVEL, True).verdict == "not distinguishable"
    assert Difference(0.1, LEVEL - 1e-9, True).verdict == "better"
    assert Difference(-0.1, 0.001, False).verdict == "worse"
    assert Difference(0.0, 0.001, False).verdict == "equal"
    assert [str(PairedTest(test, 1000)) for test in TESTS] == [
        "paired bootstrap, 1,000 resamples",
        "approximate randomisation, 1,000 trials",
    ]
