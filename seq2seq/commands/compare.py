"""Two systems side by side."""

import json
import os
import sys
from argparse import ArgumentParser, Namespace

from seq2seq.arguments import add_evaluation, load_evaluation, positive
from seq2seq.commands.score import load_systems, load_test

HELP = "show where two systems differ"
DESCRIPTION = """
Show where the translations of two systems differ: their scores and whether the difference can be
chance, the lines that gain and lose most with the words that changed ([-gone-] and {+new+}, in
colour at a terminal), and n-grams of the references gained and lost. Lines are ranked by chrF, or
by the first of --metrics if that is not among them.
"""
EXAMPLE = "seq2seq compare before.de after.de reference.de --src source.en --n 5"
LOG = False


def add_arguments(parser: ArgumentParser) -> None:
    """Its words."""
    parser.add_argument("before", metavar="HYP1", help="file of translations, - for stdin")
    parser.add_argument("after", metavar="HYP2", help="file of other translations")
    parser.add_argument("references", nargs="+", metavar="REF", help="file of references")
    parser.add_argument("--src", metavar="FILE", help="file of what was translated, to show it")
    text = "lines and n-grams of each kind to show (default: 10)"
    parser.add_argument("--n", type=positive, default=10, metavar="N", help=text)
    add_evaluation(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: Namespace) -> int:
    """Prints the comparison."""
    section = load_evaluation(arguments)
    test = load_test(arguments, section)
    files = [arguments.before, arguments.after]
    systems = load_systems(files, arguments.references, section, arguments.src)
    from seq2seq.scoring.comparison import compare, comparison_record, format_comparison
    from seq2seq.scoring.difference import COLOURED, PLAIN

    comparison = compare(systems, test, arguments.n)
    if arguments.json:
        print(json.dumps(comparison_record(comparison), ensure_ascii=False))
    else:
        is_coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        print(format_comparison(comparison, COLOURED if is_coloured else PLAIN), end="")
    return 0
