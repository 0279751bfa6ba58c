import json
import math
import shutil
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.image import imread

from seq2seq.cli import main
from seq2seq.curves import PANELS, draw_curves, points
from seq2seq.recipe import Metric

Capture = pytest.CaptureFixture[str]


def write_run(folder: Path, records: list[dict[str, Any]], tail: str = "") -> Path:
    folder.mkdir(parents=True)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "metrics.jsonl").write_text(lines + tail)
    return folder


def train_record(update: int, **values: Any) -> dict[str, Any]:
    return {"kind": "train", "update": update, "loss": 9 - update, "padding": 0.25} | values


def validation(update: int, **values: Any) -> dict[str, Any]:
    return {"kind": "validation", "update": update, "loss": 8 - update, "bleu": 10.0} | values


def panel(title: str) -> Any:
    return next(panel for panel in PANELS if panel.title == title)


def test_points_are_the_values_of_their_records() -> None:
    records = [
        train_record(1, perplexity=5.0),
        train_record(2, perplexity=math.nan, loss=None),
        validation(2, perplexity=math.inf),
        train_record(3, perplexity=0.0, loss="x"),
        {"kind": "average", "update": 3, "loss": 1.0},
        {"update": 3},
        validation(4, bleu=12.5),
    ]
    found = {each.title: points(each, records) for each in PANELS}
    assert found.pop("loss") == {"train": ([1], [8]), "validation": ([2, 4], [6, 4])}
    assert found.pop("perplexity") == {"train": ([1], [5.0])}
    assert found.pop("BLEU") == {"validation": ([2, 4], [10.0, 12.5])}
    assert found.pop("padding, %") == {"train": ([1, 2, 3], [25.0] * 3)}
    assert set(map(len, found.values())) == {0}


def test_every_panel_has_something_in_the_records_of_training(toy_run: Path) -> None:
    lines = (toy_run / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    empty = {each.title for each in PANELS if not points(each, records)}
    chosen = {"chrF", "chrF++", "TER", "WER, %", "CER, %", "accuracy, %"}
    assert empty <= chosen | {"gradient norm"}


def test_each_metric_that_picks_checkpoints_is_drawn() -> None:
    for metric in get_args(Metric):
        assert any(points(each, [validation(2) | {metric: 7.0}]) for each in PANELS[2:])


COLOURS = "#1f77b4", "#ff7f0e"


def num_lines(file: Path) -> list[int]:
    """Lines of data of the first and the second run in an SVG, which are cut off at the axes."""
    paths = ElementTree.parse(file).iter("{http://www.w3.org/2000/svg}path")
    styles = [path.get("style", "") for path in paths if "clip-path" in path.attrib]
    return [sum(f"stroke: {colour}" in style for style in styles) for colour in COLOURS]


def test_runs_are_drawn_over_one_another(tmp_path: Path) -> None:
    one = write_run(tmp_path / "a" / "one", [train_record(u) for u in (1, 2, 3)])
    records = [train_record(1), validation(1), train_record(2), validation(2)]
    other = write_run(tmp_path / "b" / "one", records, tail='{"kind": "tra')
    # Loss and padding of training; the other has loss and BLEU of its validations too.
    for runs, expected in (([one], [2, 0]), ([other], [4, 0]), ([one, other], [2, 4])):
        draw_curves(runs, tmp_path / "curves.svg")
        assert num_lines(tmp_path / "curves.svg") == expected
    before = (tmp_path / "curves.svg").read_bytes()
    draw_curves([one, other], tmp_path / "curves.svg")
    assert (tmp_path / "curves.svg").read_bytes() == before


@pytest.mark.parametrize("name", ["_hidden", "$x$ 100%", "日本語", "a\nb", "x" * 150])
def test_names_of_runs_are_drawn_as_they_can_be(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / name, [train_record(1), train_record(2)])
    other = write_run(tmp_path / "other", [train_record(1)])
    draw_curves([run, other], tmp_path / "curves.png")
    pixels = imread(tmp_path / "curves.png")
    assert np.ptp(pixels) == 1


def test_the_command_draws_into_the_run(toy_run: Path, tmp_path: Path, capsys: Capture) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(toy_run / "metrics.jsonl", run)
    assert main(["curves", str(run)]) == 0
    assert capsys.readouterr().out == f"{run / 'curves.png'}\n"
    assert imread(run / "curves.png").shape[1] == 1100
    assert {path.name for path in run.iterdir()} == {"metrics.jsonl", "curves.png"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no-run"], "no-run/metrics.jsonl: no records of training yet; train the run first"),
        (["run", "-o", "x.pdf"], "x.pdf: no kind of drawing; name it *.png or *.svg"),
        (["run", "-o", "no/x.svg"], "no/x.svg: cannot be written (no such file or directory); "),
    ],
)
def test_what_cannot_be_drawn_is_told(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    write_run(tmp_path / "run", [train_record(1)])
    monkeypatch.chdir(tmp_path)
    assert main(["curves", *words]) == 2
    assert capsys.readouterr().err.startswith(message)
