"""The words that the commands take, and their help."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from seq2seq.errors import UserError

EXAMPLES = {
    "run": "seq2seq run recipes/quickstart/quickstart.yaml training.max_epochs=5",
    "prepare": "seq2seq prepare recipes/quickstart/quickstart.yaml",
    "train": "seq2seq train recipes/quickstart/quickstart.yaml training.learning_rate=3e-4",
    "evaluate": "seq2seq evaluate runs/quickstart --beam-size 1",
    "average": "seq2seq average runs/quickstart --best 3",
    "translate": "seq2seq translate runs/quickstart < input.en > output.de",
    "score": "seq2seq score output.de reference.de --metrics bleu,chrf,ter",
    "recipe": "seq2seq recipe --explain training.learning_rate",
}


class _Parser(argparse.ArgumentParser):
    """Tells mistakes in one line, as all others are told."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{self.prog}: {message}; see {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser, which sets `command` and whether it logs its progress (`log`)."""
    parser = _Parser(
        prog="seq2seq",
        description="Recurrent sequence-to-sequence translation, from a recipe to a score.",
        epilog=f"example: {EXAMPLES['run']}",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, text: str, log: bool) -> _Parser:
        added: _Parser = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=f"example: {EXAMPLES[name]}",
            allow_abbrev=False,
        )
        added.set_defaults(command=name, log=log)
        return added

    stages = {
        "run": "prepare, train and evaluate a recipe, or go on where that stopped",
        "prepare": "read the corpora, train the tokenizers and encode the text",
        "train": "train a recipe, or go on where that stopped",
    }
    for name, text in stages.items():
        _add_recipe(add(name, text, log=True))
    evaluate = add("evaluate", "translate and score the test sets of a run", log=True)
    _add_run(evaluate)
    evaluate.add_argument("--json", action="store_true", help="print the scores as JSON")
    average = add("average", "average the weights of a run's best checkpoints", log=True)
    average.description = """
    Average the weights of a run's best checkpoints, of which it keeps training.keep_best, and
    translate with that from now on if it is better on the development set than the best of them.
    """
    average.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    text = "of the best N (default: all that are kept)"
    average.add_argument("--best", type=_at_least_two, metavar="N", help=text)
    _add_translate(add("translate", "translate lines with a trained run", log=False))
    _add_score(add("score", "score translations against references", log=False))
    recipe = add("recipe", "check a recipe and print it in full", log=False)
    _add_recipe(recipe, required=False)
    text = "say what a key means, its default and its legal values; without KEY, list the sections"
    recipe.add_argument("--explain", nargs="?", const="", metavar="KEY", help=text)
    recipe.add_argument("--schema", action="store_true", help="print the JSON schema for editors")
    return parser


def _at_least_two(word: str) -> int:
    if not word.isdecimal() or int(word) < 2:
        raise argparse.ArgumentTypeError(f"must be a whole number above 1, not {word!r}")
    return int(word)


def _version() -> str:
    from importlib.metadata import version

    return f"seq2seq {version('seq2seq')}"


def _add_recipe(parser: _Parser, required: bool = True) -> None:
    nargs = None if required else "?"
    parser.add_argument("recipe", type=Path, nargs=nargs, metavar="RECIPE", help="a YAML file")
    text = "set a key of the recipe, such as training.learning_rate=3e-4"
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=text)


def _add_run(parser: _Parser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    text = "runs that translate together with it, by the mean of their probabilities"
    parser.add_argument("--ensemble", type=Path, nargs="+", default=[], metavar="RUN", help=text)
    for option in ("beam-size", "length-penalty", "batch-size"):
        key = option.replace("-", "_")
        text = f"instead of the recipe's decoding.{key}"
        parser.add_argument(f"--{option}", metavar="N", help=text)
    text = "best on the development set (default) or the last"
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best", help=text)
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, mps or auto")


def _add_translate(parser: _Parser) -> None:
    _add_run(parser)
    parser.description = """
    Translate lines with a trained run. Line n of the output answers line n of the input, blank
    lines stay blank. Standard input is answered as it comes, at a terminal line by line. With
    --scores a line is SCORE, tab, text. With --n-best K each line has K answers, best first, each
    a line of its own that begins with the number of the input line and a tab. With --json each
    input line gives one JSON object with all of this and more.
    """
    text = "file to read instead of standard input, may be .gz"
    parser.add_argument("--input", "-i", type=Path, metavar="FILE", help=text)
    text = "file to write instead of standard output, may be .gz"
    parser.add_argument("--output", "-o", type=Path, metavar="FILE", help=text)
    parser.add_argument("--n-best", metavar="K", help="translations of each line")
    parser.add_argument("--scores", action="store_true", help="write the score of each translation")
    parser.add_argument("--json", action="store_true", help="write JSON lines")


def _add_score(parser: _Parser) -> None:
    parser.add_argument("hypotheses", metavar="HYP", help="file of translations, - for stdin")
    parser.add_argument("references", nargs="+", metavar="REF", help="file of references")
    parser.add_argument("--metrics", metavar="LIST", help="of bleu, chrf, ter, accuracy")
    parser.add_argument("--tokenize", metavar="NAME", help="tokenisation for BLEU (default: 13a)")
    parser.add_argument("--lowercase", action="store_true", help="compare lower-cased text")
    parser.add_argument("--bootstrap", metavar="N", help="resamples for the interval; 0: none")
    parser.add_argument("--json", action="store_true", help="print JSON")
