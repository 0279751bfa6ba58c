"""A recipe from nothing to its scores."""

from __future__ import annotations

import shlex
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.arguments import Parser, add_recipe, load_recipe
from seq2seq.commands.train import train_recipe
from seq2seq.formats import format_scores

if TYPE_CHECKING:
    from seq2seq.recipe import Recipe

HELP = "prepare, train and evaluate a recipe, or go on where that stopped"
EXAMPLE = "seq2seq run recipes/quickstart/quickstart.yaml training.max_epochs=5"
LOG = True

NUM_SHOWN = 4


def add_arguments(parser: Parser) -> None:
    """Its words."""
    add_recipe(parser)


def run(arguments: Namespace) -> int:
    """Does what isn't done, shows some translations and prints the scores."""
    recipe = load_recipe(arguments)
    status = train_recipe(recipe, arguments)
    if status:
        return status
    from seq2seq.evaluate import evaluate

    path = Path(recipe.output_dir)
    scores = evaluate(path, world=arguments.world)
    if not recipe.model.reads_source:
        _show_texts(recipe, path)
        print(format_scores(scores), end="")
        print(f"\nTo write more:\n  seq2seq generate {shlex.quote(str(path))} -n 10")
        return 0
    shown = _show_translations(recipe, path, list(scores))
    print(format_scores(scores), end="")
    command = f"seq2seq translate {shlex.quote(str(path))}"
    print(f"\nTo translate:\n  echo {shlex.quote(shown)} | {command}")
    print(f"  {command} < FILE.{recipe.data.src} > FILE.{recipe.data.tgt}")
    return 0


def _show_texts(recipe: Recipe, run: Path) -> None:
    """Prints what a language model writes."""
    from seq2seq.generate import Generator

    decoding = recipe.decoding.model_copy(update={"sampling": True, "n_best": 1})
    texts = Generator.load(run, decoding).generate([""] * NUM_SHOWN)
    print("\n" + "".join(f"  {one.text}\n" for found in texts for one in found))


def _show_translations(recipe: Recipe, run: Path, tests: list[str]) -> str:
    """Prints a few lines, evenly spaced, of the first test set or of the development set.

    Returns:
        One of the source lines.
    """
    from seq2seq.data.corpus import read_lines, read_pairs

    if tests:
        pairs = list(read_pairs(recipe.data.test[tests[0]], recipe.data, "test"))
        outputs = list(read_lines(run / "evaluation" / f"{tests[0]}.hyp"))
    else:
        from seq2seq.translate import Translator

        pairs = list(read_pairs(recipe.data.dev, recipe.data, "dev"))
    chosen = [len(pairs) * i // NUM_SHOWN for i in range(min(NUM_SHOWN, len(pairs)))]
    if not tests:
        translator = Translator.load(run, decoding=None, device=None, checkpoint="best")
        answers = translator.translate(pairs[i][0] for i in chosen)
        outputs = [answer.text for answer in answers]
    else:
        outputs = [outputs[i] for i in chosen]
    for index, output in zip(chosen, outputs, strict=True):
        source, reference = pairs[index]
        print(f"\n  source     {source}\n  reference  {reference}\n  output     {output}")
    print()
    return pairs[0][0]
