import importlib.util
import json
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "tools/benchmark.py"
TINY = """
model:
  encoder: {embedding_dim: 8, hidden_size: 8}
  decoder: {embedding_dim: 8, hidden_size: 8, num_layers: 1}
training: {batch_size: 4}
"""


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPT.parent)
    spec = importlib.util.spec_from_file_location("benchmark", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_corpus_fills_the_vocabulary(tool: ModuleType, tmp_path: Path) -> None:
    tool.write_corpus(tmp_path)
    lines = {}
    for name, size in tool.NUM_PAIRS.items():
        for suffix in ("src", "tgt"):
            lines[name, suffix] = (tmp_path / f"{name}.{suffix}").read_text().splitlines()
            assert len(lines[name, suffix]) == size
    words = {
        word
        for suffix in ("src", "tgt")
        for line in lines["train", suffix]
        for word in line.split()
    }
    assert len(words) == tool.NUM_WORDS
    lengths = [len(line.split()) for line in lines["train", "tgt"]]
    assert 12 < sum(lengths) / len(lengths) < 16
    assert max(lengths) <= 32


def test_a_shape_is_trained_and_translated(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(tool.SHAPES, "tiny", TINY)
    monkeypatch.setitem(tool.NUM_PAIRS, "train", 40)
    monkeypatch.setattr(tool, "NUM_TRANSLATED", 20)
    measured = tool.measure("shape:tiny", Namespace(seconds=1.0, precision="float32"))
    assert measured.keys() == {
        "training_tokens_per_second",
        "training_share_of_products",
        "training_gib",
        "greedy_sentences_per_second",
        "greedy_share_of_products",
        "beam_5_sentences_per_second",
        "beam_5_share_of_products",
        "peak_gib",
    }
    assert min(measured.values()) > 0
    assert measured["peak_gib"] >= measured["training_gib"]


def test_a_run_is_searched_as_asked(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(tool.NUM_PAIRS, "train", 40)
    tool.write_corpus(tmp_path)
    recipe, run = tmp_path / "recipe.yaml", tmp_path / "run"
    recipe.write_text(tool.DATA + TINY, encoding="utf-8")
    tool.measure_training(recipe, run, 1.0, "float32")
    searches = ["beam_size=2 precision=float32", "beam_size=1"]
    arguments = Namespace(seconds=1.0, precision="auto", search=searches, ensemble=[run])
    measured = tool.measure(f"run:{run}", arguments)
    keys = ("sentences_per_second", "share_of_products", "p50_ms", "p99_ms", "BLEU", "chrF2")
    expected = {f"{search}_{key}" for search in searches for key in keys}
    assert measured.keys() == expected | {"peak_gib"}
    assert min(measured[f"{search}_sentences_per_second"] for search in searches) > 0
    assert all(measured[f"{each}_p99_ms"] >= measured[f"{each}_p50_ms"] > 0 for each in searches)
    assert tool.load_translator(run, searches[0], [run]).decoding.beam_size == 2


def test_quantiles_are_values_that_were_measured(tool: ModuleType) -> None:
    assert tool.quantiles([5.0, 1.0, 4.0, 2.0, 3.0], (0.5, 0.99, 0.2)) == [3.0, 5.0, 1.0]
    assert tool.quantiles([7.0], (0.5, 0.99)) == [7.0, 7.0]


def test_checkouts_are_measured_in_turn_and_compared_by_medians(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    speeds = iter([10.0, 4.0, 30.0, 5.0, 20.0, 100.0])

    def measure_apart(checkout: Path, target: str, arguments: Namespace) -> dict[str, float]:
        asked.append(checkout.name)
        return {"speed": next(speeds)}

    monkeypatch.setattr(tool, "measure_apart", measure_apart)
    checkouts = {"this": Path("here"), "other": Path("there")}
    report = tool.compare(["shape:small"], checkouts, Namespace(rounds=3))["shape:small"]
    assert asked == ["here", "there"] * 3
    assert report["medians"] == {"this": {"speed": 20.0}, "other": {"speed": 5.0}}
    assert report["ratio"] == {"speed": 4.0}


def test_a_checkout_is_measured_with_its_own_package(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "seq2seq").mkdir()
    (tmp_path / "seq2seq/__init__.py").write_text("")
    program = "import json, seq2seq; print(json.dumps({'path': seq2seq.__file__}))"
    (tmp_path / "program.py").write_text(program)
    monkeypatch.setattr(tool, "__file__", str(tmp_path / "elsewhere/program.py"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "program.py").rename(tmp_path / "elsewhere/program.py")
    arguments = Namespace(seconds=1.0, precision="auto", search=[], ensemble=[])
    measured = tool.measure_apart(tmp_path, "shape:small", arguments)
    assert measured == {"path": str(tmp_path / "seq2seq/__init__.py")}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["large"], "no such shape: large; there are small, design"),
        (["--against", "."], "is no checkout"),
    ],
)
def test_wrong_words_are_told(
    tool: ModuleType,
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *words])
    with pytest.raises(SystemExit):
        tool.main()
    assert message in capsys.readouterr().err


def test_the_report_names_machine_and_commit(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tool, "measure_apart", lambda *_: {"speed": 1.0})
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--rounds=1"])
    tool.main()
    report = json.loads(capsys.readouterr().out)
    assert report["machine"]["cpu"] and report["machine"]["torch"]
    assert len(report["commits"]["this"]) >= 7
    assert report["results"].keys() == {"shape:small", "shape:design"}
