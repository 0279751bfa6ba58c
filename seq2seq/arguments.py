"""Words that several commands take, and the settings that they give."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from seq2seq.errors import RunError, UserError

if TYPE_CHECKING:
    from seq2seq.recipe import Decoding, Recipe


class Parser(argparse.ArgumentParser):
    """Tells mistakes in one line, as all others are told."""

    def error(self, message: str) -> NoReturn:
        """Raises it."""
        raise UserError(f"{self.prog}: {message}; see {self.prog} --help")


def add_recipe(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """A recipe and keys to set."""
    nargs = None if required else "?"
    parser.add_argument("recipe", type=Path, nargs=nargs, metavar="RECIPE", help="a YAML file")
    text = "set a key of the recipe, such as training.learning_rate=3e-4"
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=text)


def load_recipe(arguments: Namespace) -> Recipe:
    """The recipe that `add_recipe` took."""
    from seq2seq import recipe

    return recipe.load_recipe(arguments.recipe, arguments.overrides)


def add_models(parser: argparse.ArgumentParser) -> None:
    """A run, and what may join it."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    text = "runs that translate together with it, by the mean of their probabilities"
    parser.add_argument("--ensemble", type=Path, nargs="+", default=[], metavar="RUN", help=text)
    text = "best on the development set (default) or the last"
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best", help=text)
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, mps or auto")


def add_run(parser: argparse.ArgumentParser) -> None:
    """A run that translates, and how it does."""
    add_models(parser)
    for option in ("beam-size", "length-penalty", "batch-size"):
        key = option.replace("-", "_")
        text = f"instead of the recipe's decoding.{key}"
        parser.add_argument(f"--{option}", metavar="N", help=text)
    text = "of beam-size translations take the one that the others agree with most (minimum Bayes "
    text += "risk), by chrf (default) or bleu"
    parser.add_argument("--mbr", nargs="?", const="chrf", metavar="METRIC", help=text)
    text = "translate each sentence of a line by itself, for a paragraph on each line"
    parser.add_argument("--split-sentences", action="store_const", const="true", help=text)


def load_decoding(arguments: Namespace) -> Decoding:
    """The run's way of decoding with what the command line changes."""
    from seq2seq import recipe

    saved = arguments.run / "recipe.yaml"
    if not saved.is_file():
        what = "a file" if arguments.run.is_file() else "no such directory"
        what = "no recipe.yaml in it" if arguments.run.is_dir() else what
        raise RunError(f"{arguments.run}: not a run directory ({what}); `seq2seq run` makes one")
    keys = ("beam_size", "length_penalty", "batch_size", "mbr", "split_sentences")
    given = {key: getattr(arguments, key) for key in keys}
    given["n_best"] = getattr(arguments, "n_best", None) or "1"
    overrides = [f"decoding.{key}={value}" for key, value in given.items() if value is not None]
    if arguments.device is not None:
        overrides.append(f"device={arguments.device}")
    return recipe.load_recipe(saved, overrides, check_files=False).decoding
