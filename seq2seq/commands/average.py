"""Averages of checkpoints."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

HELP = "average the weights of a run's best checkpoints"
DESCRIPTION = """
Average the weights of a run's best checkpoints, of which it keeps training.keep_best, and translate
with that from now on if it is better on the development set than the best of them.
"""
EXAMPLE = "seq2seq average runs/quickstart --best 3"
LOG = True


def add_arguments(parser: ArgumentParser) -> None:
    """Its words."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    text = "of the best N (default: all that are kept)"
    parser.add_argument("--best", type=_at_least_two, metavar="N", help=text)


def run(arguments: Namespace) -> int:
    """Says whether the mean is better."""
    from seq2seq.train import average

    is_better = average(arguments.run, arguments.best, arguments.world)
    print("the mean is better and now the best" if is_better else "the mean is no better")
    return 0


def _at_least_two(word: str) -> int:
    if not word.isdecimal() or int(word) < 2:
        raise ArgumentTypeError(f"must be a whole number above 1, not {word!r}")
    return int(word)
