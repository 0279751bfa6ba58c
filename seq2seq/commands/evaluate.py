"""Scores of a run."""

import json
from argparse import Namespace

from seq2seq.arguments import Parser, add_run, choose_models, load_decoding
from seq2seq.errors import RunError
from seq2seq.formats import format_scores, score_record

HELP = "translate and score the test sets of a run"
EXAMPLE = "seq2seq evaluate runs/quickstart --beam-size 1"
LOG = True


def add_arguments(parser: Parser) -> None:
    """Its words."""
    add_run(parser)
    parser.add_argument("--json", action="store_true", help="print the scores as JSON")


def run(arguments: Namespace) -> int:
    """Prints the scores of each test set."""
    decoding = load_decoding(arguments)
    from seq2seq.evaluate import evaluate

    scores = evaluate(
        arguments.run,
        decoding=decoding,
        **choose_models(arguments),
        world=arguments.world,
    )
    if arguments.json:
        print(json.dumps({name: list(map(score_record, found)) for name, found in scores.items()}))
    elif scores:
        print(format_scores(scores), end="")
    else:
        raise RunError(f"{arguments.run}: its recipe names no test sets; add data.test")
    return 0
