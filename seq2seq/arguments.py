"""Words that several commands take, and the settings that they give."""

from __future__ import annotations

import argparse
import math
import re
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from seq2seq.errors import RunError, UserError

if TYPE_CHECKING:
    from seq2seq.recipe import Decoding, Evaluation, Recipe
    from seq2seq.run import Chosen


DECODING_KEYS = ("beam_size", "length_penalty", "batch_size", "precision", "shortlist")
"""Keys of the section `decoding` that have an option of their own."""


class Parser(argparse.ArgumentParser):
    """Tells mistakes in one line, as all others are told.

    Attributes:
        keys: what the names of keys look like, a regular expression; words that set such keys,
            `section.key=value`, may stand anywhere and become `overrides`. (argparse wants words
            without an option in one place, and would take them for values of the option before.)
    """

    keys: str | None = None

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """See `argparse`."""
        words = [] if args is None else list(args)
        if self.keys is None:
            return super().parse_known_args(words, namespace)
        form = re.compile(f"({self.keys})=")
        others = [word for word in words if not form.match(word)]
        parsed, unknown = super().parse_known_args(others, namespace)
        also = getattr(parsed, "overrides", [])
        parsed.overrides = [word for word in words if form.match(word) or word in also]
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """Raises it."""
        raise UserError(f"{self.prog}: {message}; see {self.prog} --help")


def add_recipe(parser: Parser, required: bool = True) -> None:
    """A recipe and keys to set."""
    parser.keys = r"[a-z]\w*(\.\w+)+|[a-z_]+"
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
    text = "how much the run and each of these count, one number each (default: all alike)"
    parser.add_argument("--ensemble-weights", type=_weight, nargs="+", metavar="W", help=text)
    text = "best on the development set (default) or the last"
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best", help=text)
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, mps or auto")


def choose_models(arguments: Namespace) -> Chosen:
    """What `add_models` took besides the run."""
    return {
        "ensemble": arguments.ensemble,
        "weights": arguments.ensemble_weights,
        "device": arguments.device,
        "checkpoint": arguments.checkpoint,
    }


def add_seed(parser: argparse._ActionsContainer) -> None:
    """The seed of samples."""
    text = "seed of the samples (default: the recipe's)"
    parser.add_argument("--seed", metavar="N", help=text)


def add_search_keys(parser: Parser, example: str) -> None:
    """Keys of the section `decoding`."""
    parser.keys = r"decoding\.[^=]*"
    text = f"decoding.KEY=VALUE sets a key of the recipe, such as {example}; "
    text += "`seq2seq recipe --explain decoding` lists them"
    parser.add_argument_group("search", text)


def add_run(parser: Parser) -> None:
    """A run that translates, and how it does."""
    add_search_keys(parser, "decoding.no_repeat_ngram=4")
    add_models(parser)
    for key in DECODING_KEYS:
        option = key.replace("_", "-")
        text = f"instead of the recipe's decoding.{key}"
        parser.add_argument(f"--{option}", metavar="VALUE", help=text)
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
    keys = (*DECODING_KEYS, "mbr", "split_sentences", "n_best")
    given = {key: getattr(arguments, key, None) for key in keys}
    samples, seed = (getattr(arguments, option, None) for option in ("sample", "seed"))
    if samples is not None:
        given |= {"sampling": "true", "n_best": samples}
    if not any(word.startswith("decoding.n_best=") for word in arguments.overrides):
        given["n_best"] = given["n_best"] or "1"
    given["sampling_seed"] = seed
    overrides = [f"decoding.{key}={value}" for key, value in given.items() if value is not None]
    overrides += arguments.overrides
    if arguments.device is not None:
        overrides.append(f"device={arguments.device}")
    decoding = recipe.load_saved(saved, overrides).decoding
    if seed is not None and not decoding.sampling:
        raise UserError(
            "--seed: a search for the best draws nothing; leave it out, or take samples"
        )
    if decoding.sampling and getattr(arguments, "beam_size", None) is not None:
        raise UserError("--beam-size: samples have no beam; leave it out, or take no samples")
    return decoding


def add_evaluation(parser: argparse.ArgumentParser) -> None:
    """How translations are scored."""
    text = "of bleu, chrf, chrf++, ter, accuracy, wer, cer (default: bleu,chrf)"
    parser.add_argument("--metrics", metavar="LIST", help=text)
    parser.add_argument("--tokenize", metavar="NAME", help="tokenisation for BLEU (default: 13a)")
    parser.add_argument("--lowercase", action="store_true", help="compare lower-cased text")
    text = "resamples for intervals and the paired bootstrap (default: 1000); 0: none"
    parser.add_argument("--bootstrap", metavar="N", help=text)
    text = "test for differences: paired bootstrap (default) or approximate randomisation"
    parser.add_argument("--paired", choices=("bs", "ar"), help=text)
    text = "trials of approximate randomisation (default: 10000)"
    parser.add_argument("--trials", type=positive, metavar="N", help=text)


def load_evaluation(arguments: Namespace) -> Evaluation:
    """What `add_evaluation` took.

    Raises:
        UserError: something in it has no part in the rest.
    """
    from seq2seq.recipe import Evaluation
    from seq2seq.settings import from_overrides

    if arguments.trials is not None and arguments.paired != "ar":
        raise UserError("--trials: are those of --paired ar; leave it out, or give that too")

    given = {
        "metrics": arguments.metrics and f"[{arguments.metrics}]",
        "tokenize": arguments.tokenize,
        "lowercase": str(arguments.lowercase).lower(),
        "bootstrap": arguments.bootstrap,
    }
    overrides = [f"{key}={value}" for key, value in given.items() if value is not None]
    return from_overrides(Evaluation, overrides)


def positive(word: str) -> int:
    """A whole number above 0."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {word!r}")
    return int(word)


def factor(text: str) -> float:
    """A number that isn't negative."""
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError
    return number


def _weight(text: str) -> float:
    weight = factor(text)
    if weight == 0:
        raise ValueError
    return weight


# What argparse calls a wrong value.
factor.__name__, _weight.__name__ = "non-negative number", "positive number"
