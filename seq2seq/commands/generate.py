"""Text from a language model."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from seq2seq.arguments import (
    Parser,
    add_models,
    add_search_keys,
    add_seed,
    choose_models,
    load_decoding,
    positive,
)
from seq2seq.errors import UserError
from seq2seq.translation.answers import dump

HELP = "write text with a language model"
DESCRIPTION = """
Write text with a language model, a line each: samples, or with decoding.sampling=false what is most
likely. Texts go on from the beginnings that are given, at the end of a word or within it.
"""
EXAMPLE = "seq2seq generate runs/language-model 'Once upon a' -n 5 decoding.temperature=0.8"
LOG = False


def add_arguments(parser: Parser) -> None:
    """Its words."""
    add_search_keys(parser, "decoding.top_p=0.9")
    add_models(parser)
    text = "how texts begin (default: with anything)"
    parser.add_argument("beginnings", nargs="*", metavar="BEGINNING", help=text)
    text = "read beginnings from a file, one a line; - for standard input"
    parser.add_argument("--input", "-i", metavar="FILE", help=text)
    text = "texts for each beginning (default: 1)"
    parser.add_argument("-n", "--n-best", type=positive, metavar="N", help=text)
    add_seed(parser)
    parser.add_argument("--json", action="store_true", help="write JSON lines, with scores")


def run(arguments: Namespace) -> int:
    """Writes texts."""
    if arguments.input is not None and arguments.beginnings:
        raise UserError("seq2seq generate: --input has the beginnings; give no others")
    keys = [word.partition("=")[0] for word in arguments.overrides]
    if "decoding.sampling" not in keys:
        arguments.overrides.append("decoding.sampling=true")
    decoding = load_decoding(arguments)
    from seq2seq.generate import Generator

    generator = Generator.load(
        arguments.run,
        decoding,
        **choose_models(arguments),
    )
    for number, texts in enumerate(generator.generate(_read_beginnings(arguments)), start=1):
        for one in texts:
            record = {"line": number, "text": one.text, "log_prob": one.log_prob}
            print(dump(record) if arguments.json else one.text, flush=True)
    return 0


def _read_beginnings(arguments: Namespace) -> Iterable[str]:
    import sys

    from seq2seq.data.corpus import read_lines

    if arguments.input == "-":
        return read_lines(sys.stdin.buffer, "standard input")
    if arguments.input is not None:
        return read_lines(Path(arguments.input))
    return arguments.beginnings or [""]
