"""Curves of training."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

HELP = "draw the curves of training, of several runs over one another"
DESCRIPTION = """
Draw the curves of training over the updates: loss, perplexity, scores, learning rate, gradient
norm, speed, padding and waiting for batches, as far as the runs have records of them. Several runs
are drawn over one another. It can be done while they are being trained.
"""
EXAMPLE = "seq2seq curves runs/quickstart --output curves.svg"
LOG = False


def add_arguments(parser: ArgumentParser) -> None:
    """Its words."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="a run directory")
    text = "PNG or SVG file to write (default: curves.png in the first RUN)"
    parser.add_argument("--output", "-o", type=Path, metavar="FILE", help=text)


def run(arguments: Namespace) -> int:
    """Prints where the drawing is."""
    from seq2seq.curves import draw_curves

    output = arguments.output or arguments.runs[0] / "curves.png"
    draw_curves(arguments.runs, output)
    print(output)
    return 0
