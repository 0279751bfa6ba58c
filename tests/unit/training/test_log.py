from typing import Any

import pytest

from seq2seq.training.log import progress_line, validation_line

RECORD: dict[str, Any] = {
    "epoch": 12,
    "update": 12345,
    "done": 0.345,
    "eta_seconds": 7505.0,
    "minutes": 123.4,
    "loss": 3.4567,
    "perplexity": 31.234,
    "tokens_per_second": 3812.3,
    "learning_rate": 9.87e-4,
    "bleu": 34.567,
}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"epoch": 1, "done": 0.0001, "eta_seconds": 2e5, "loss": 9.5, "perplexity": 12_345.6},
        {"epoch": 100, "done": 1.0, "eta_seconds": 0.0, "tokens_per_second": 123_456.0},
    ],
)
def test_lines_fit_eighty_columns(values: dict[str, Any]) -> None:
    assert len(progress_line(RECORD | values)) < 80
    assert len(validation_line(RECORD, is_best=True)) < 80


def test_a_progress_line_says_how_it_goes() -> None:
    assert progress_line(RECORD).split("  ") == [
        "epoch 12",
        "34.5%",
        "ETA 2 h 05 min",
        "loss 3.457",
        "ppl 31.2",
        "3,812 tok/s",
        "lr 9.9e-04",
    ]
