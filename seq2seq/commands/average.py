"""Averages of checkpoints."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import Literal

HELP = "average the weights of a run's best or last checkpoints"
DESCRIPTION = """
Average the weights of a run's best checkpoints, of which it keeps training.keep_best, or of its
last ones (training.average_last), and translate with that from now on if it is better on the
development set than the best so far.
"""
EXAMPLE = "seq2seq average runs/en-de --best 3"
LOG = True


def add_arguments(parser: ArgumentParser) -> None:
    """Its words."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    group = parser.add_mutually_exclusive_group()
    text = "of the best N (default: all that are kept)"
    group.add_argument("--best", type=_at_least_two, metavar="N", help=text)
    text = "of the last N"
    group.add_argument("--last", type=_at_least_two, metavar="N", help=text)


def run(arguments: Namespace) -> int:
    """Says whether the mean is better."""
    from seq2seq.train import average

    kind: Literal["best", "last"] | None = None
    if arguments.best or arguments.last:
        kind = "best" if arguments.best else "last"
    limit = arguments.best or arguments.last
    is_better = average(arguments.run, kind, limit, arguments.world)
    print("the mean is better and now the best" if is_better else "the mean is no better")
    return 0


def _at_least_two(word: str) -> int:
    if not word.isdecimal() or int(word) < 2:
        raise ArgumentTypeError(f"must be a whole number above 1, not {word!r}")
    return int(word)
