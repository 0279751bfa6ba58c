"""What the README and the shipped recipes promise, on small stand-ins for their data."""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from seq2seq.recipe import Recipe, load_recipe
from seq2seq.train import train

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*/*.yaml"))
TINY = [
    "device=cpu",
    "model.encoder.embedding_dim=8",
    "model.encoder.hidden_size=8",
    "model.decoder.embedding_dim=8",
    "model.decoder.hidden_size=16",
    "training.max_updates=2",
    "training.batch_size=8",
    "training.log_every=1",
    "decoding.max_length=5",
]


def blocks(language: str) -> list[str]:
    """The code blocks of the README in a language."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def write_corpus(path: Path, languages: tuple[str, str], num_lines: int) -> None:
    """Random pairs in two parallel files."""
    rng = random.Random(str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    for language in languages:
        lines = [" ".join(rng.choices("abcdefgh", k=rng.randint(2, 9))) for _ in range(num_lines)]
        Path(f"{path}.{language}").write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory that the shipped recipes are seen from."""
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_both_first_commands_install_the_tested_versions_in_a_fresh_environment() -> None:
    for block in blocks("sh")[:2]:
        assert block.count("\n") == 1
        make, enter, install, _ = (part.strip() for part in block.split("&&"))
        assert make == "python3 -m venv .venv"
        assert enter == ". .venv/bin/activate"
        assert re.fullmatch(r"pip install -c constraints\.txt -e (\.|'\.\[test\]')", install)


def test_ci_installs_and_tests_as_the_readme_says() -> None:
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8").split("\n")
    *_, install, test = (part.strip() for part in blocks("sh")[1].split("&&"))
    assert install in ci
    assert test in ci


def test_constraints_name_every_dependency() -> None:
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    named = re.findall(r"^    ([A-Za-z-]+)(?:>=[\d.]+)?$", setup, flags=re.MULTILINE)
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower()
    assert {"torch", "pytest"} <= set(named)
    assert [name for name in named if f"\n{name.lower()}==" not in constraints] == []


def test_every_command_of_the_readme_runs(folder: Path) -> None:
    generate = folder / "recipes/quickstart/generate.py"
    subprocess.run([sys.executable, str(generate)], check=True)
    for file in (folder / "data/quickstart").iterdir():
        size = 300 if file.stem == "train" else 10
        lines = file.read_text(encoding="utf-8").split("\n")[:size]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in ("train", "dev", "test"):
        write_corpus(folder / "path/to" / name, ("en", "de"), 60)
    (own,) = blocks("yaml")
    (folder / "mine.yaml").write_text(own)

    _, quickstart = blocks("sh")[0].rsplit("&&", 1)
    commands = [quickstart.strip()]
    for block in blocks("sh")[2:]:
        commands += block.strip().split("\n")
    assert len(commands) >= 7
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    for command in commands:
        tiny = f" {' '.join(TINY)}" if command.startswith("seq2seq run") else ""
        done = subprocess.run(
            command + tiny, shell=True, capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
    (script,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 2, "")
    assert len((folder / "test.hyp").read_text(encoding="utf-8").split("\n")[:-1]) == 10
    assert {run.name for run in (folder / "runs").iterdir()} == {"quickstart", "mine", "mine-2"}


def stand_in(folder: Path, recipe: Recipe) -> list[str]:
    """Writes small corpora where a recipe wants its own; overrides for what is on the hub."""
    languages = recipe.data.src, recipe.data.tgt
    overrides = []
    corpora = {"train": recipe.data.train, "dev": recipe.data.dev}
    corpora |= {f"test.{name}": corpus for name, corpus in recipe.data.test.items()}
    for number, (key, (corpus,)) in enumerate(corpora.items()):
        assert corpus.path is not None
        path = corpus.path
        if corpus.kind == "hub":
            path = f"hub/{number}"
            overrides.append(f"data.{key}={path}")
        write_corpus(folder / path, languages, 60)
    return overrides


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_shipped_recipe_loads_and_makes_two_updates(folder: Path, path: Path) -> None:
    shipped = load_recipe(path, check_files=False)
    recipe = load_recipe(path, [*TINY, *stand_in(folder, shipped)])
    outcome = train(recipe, stop=lambda: False)
    assert outcome.status == "finished"
    lines = (outcome.run_dir / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    updates = [record["update"] for record in records if record["kind"] == "train"]
    assert updates == [1, 2]
    assert (outcome.run_dir / "checkpoints/best.safetensors").is_file()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_shipped_recipes_name_the_schema_for_editors(path: Path) -> None:
    first = path.read_text(encoding="utf-8").split("\n")[0]
    form = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert form is not None
    assert (path.parent / form[1]).resolve() == ROOT / "recipes/schema.json"
    assert (ROOT / "recipes/schema.json").is_file()


def test_the_hub_recipe_differs_from_the_one_with_files_in_its_corpora_only() -> None:
    files, hub = (
        load_recipe(ROOT / f"recipes/multi30k/{name}.yaml", check_files=False)
        for name in ("en-de", "hub")
    )
    own = {"name", "output_dir", "data"}
    assert files.model_dump(exclude=own) == hub.model_dump(exclude=own)
