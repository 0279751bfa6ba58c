"""Scores of files."""

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from seq2seq.errors import DataError
from seq2seq.formats import format_scores, score_record

HELP = "score translations against references"
EXAMPLE = "seq2seq score output.de reference.de --metrics bleu,chrf,ter"
LOG = False


def add_arguments(parser: ArgumentParser) -> None:
    """Its words."""
    parser.add_argument("hypotheses", metavar="HYP", help="file of translations, - for stdin")
    parser.add_argument("references", nargs="+", metavar="REF", help="file of references")
    parser.add_argument(
        "--metrics", metavar="LIST", help="of bleu, chrf, chrf++, ter, accuracy, wer, cer"
    )
    parser.add_argument("--tokenize", metavar="NAME", help="tokenisation for BLEU (default: 13a)")
    parser.add_argument("--lowercase", action="store_true", help="compare lower-cased text")
    parser.add_argument("--bootstrap", metavar="N", help="resamples for the interval; 0: none")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: Namespace) -> int:
    """Prints the scores."""
    from seq2seq.recipe import Evaluation
    from seq2seq.settings import from_overrides

    given = {
        "metrics": arguments.metrics and f"[{arguments.metrics}]",
        "tokenize": arguments.tokenize,
        "lowercase": str(arguments.lowercase).lower(),
        "bootstrap": arguments.bootstrap,
    }
    section = from_overrides(Evaluation, [f"{k}={v}" for k, v in given.items() if v is not None])
    from seq2seq.data.corpus import read_lines
    from seq2seq.metrics import score

    names = [arguments.hypotheses, *arguments.references]
    texts = [
        list(read_lines(sys.stdin.buffer, "standard input") if n == "-" else read_lines(Path(n)))
        for n in names
    ]
    for name, lines in zip(names, texts, strict=True):
        if len(lines) != len(texts[0]):
            counts = f"{len(lines)} lines, but {names[0]} has {len(texts[0])}"
            raise DataError(f"{name}: {counts}; they must answer line by line")
        if not lines:
            raise DataError(f"{name}: no lines; there is nothing to score")
    scores = score(texts[0], texts[1:], section)
    if arguments.json:
        print(json.dumps(list(map(score_record, scores))))
    else:
        print(format_scores({"": scores}), end="")
    return 0
