"""Probabilities of given translations."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.arguments import add_models, choose_models
from seq2seq.errors import DataError, UserError
from seq2seq.translation.answers import dump

if TYPE_CHECKING:
    from seq2seq.probability import Probability

HELP = "say how likely a run holds given translations to be"
DESCRIPTION = """
Say how likely a run holds each line of TGT to be as the translation of the same line of SRC, for
reranking and cleaning: natural log-probability, tab, perplexity of its pieces (end mark counted).
Without files, pairs are read from standard input, source and target between a tab; as the name of
one file, - is standard input. A language model reads the lines of one file, or of standard input.
Those of all lines together are told on stderr.
"""
EXAMPLE = "seq2seq probability runs/quickstart input.en output.de"
LOG = False

STDIN = Path("-")


def add_arguments(parser: ArgumentParser) -> None:
    """Its words."""
    add_models(parser)
    text = "file of source lines, or of text for a language model"
    parser.add_argument("src", nargs="?", type=Path, metavar="SRC", help=text)
    parser.add_argument("tgt", nargs="?", type=Path, metavar="TGT", help="file of translations")
    shown = parser.add_mutually_exclusive_group()
    text = "after a tab, give each piece and its log-probability"
    shown.add_argument("--pieces", action="store_true", help=text)
    text = "after a tab, give each word and its log-probability"
    shown.add_argument("--words", action="store_true", help=text)
    text = "write a JSON object for each line, with pieces and words"
    shown.add_argument("--json", action="store_true", help=text)


def run(arguments: Namespace) -> int:
    """Writes the probability of each pair."""
    from seq2seq.run import Run

    reads_source = Run(arguments.run).load_recipe().model.reads_source
    if not reads_source:
        if arguments.tgt is not None:
            raise UserError(
                f"seq2seq probability: {arguments.run} is a language model and reads no source; "
                "give one file"
            )
        pairs: Iterator[tuple[str, str]] = (("", line) for line in _read(arguments.src))
    elif arguments.src is not None and arguments.tgt is None:
        raise UserError("seq2seq probability: give SRC and TGT, or pairs on standard input")
    elif STDIN == arguments.src == arguments.tgt:
        raise UserError("-: standard input can be read once only; name a file for the other")
    else:
        pairs = _read_pairs(arguments.src, arguments.tgt)
    from seq2seq.probability import find_probabilities, perplexity
    from seq2seq.translation.models import Models

    models = Models.load(
        arguments.run,
        **choose_models(arguments),
    )
    lines, total, count = 0, 0.0, 0
    for one in find_probabilities(models, pairs):
        print(_format(one, arguments, reads_source), flush=True)
        lines, total, count = lines + 1, total + one.log_prob, count + len(one.tokens)
    if count:
        what = "pairs" if reads_source else "lines"
        text = f"{lines:,} {what}: log-probability {total:.2f}, perplexity"
        print(text, f"{perplexity(total, count):.4f}", file=sys.stderr)
    return 0


def _format(one: Probability, arguments: Namespace, reads_source: bool) -> str:
    if arguments.json:
        return dump(
            {
                "line": one.line + 1,
                **({"src": one.src} if reads_source else {}),
                "tgt": one.tgt,
                "log_prob": one.log_prob,
                "perplexity": one.perplexity,
                "tokens": one.tokens,
                "log_probs": one.log_probs,
                "words": one.words,
            }
        )
    parts: Iterable[tuple[str, float]] = ()
    if arguments.pieces:
        parts = zip(one.tokens, one.log_probs, strict=True)
    elif arguments.words:
        parts = one.words
    cells = [f"{one.log_prob:.4f}", f"{one.perplexity:.4f}"]
    shown = " ".join(f"{text} {value:.4f}" for text, value in parts)
    return "\t".join([*cells, shown] if shown else cells)


def _read(path: Path | None) -> Iterator[str]:
    from seq2seq.data.corpus import read_lines

    if path is None or path == STDIN:
        return read_lines(sys.stdin.buffer, "standard input")
    return read_lines(path)


def _read_pairs(src: Path | None, tgt: Path | None) -> Iterator[tuple[str, str]]:
    if src is None or tgt is None:
        for number, line in enumerate(_read(None), 1):
            cells = line.split("\t")
            if len(cells) != 2:
                what = f"standard input:{number}: {len(cells)} columns"
                raise DataError(f"{what}; give source and target with one tab between them")
            yield cells[0], cells[1]
        return
    for number, (one, other) in enumerate(zip_longest(_read(src), _read(tgt)), 1):
        if one is None or other is None:
            names = ["standard input" if path == STDIN else path for path in (src, tgt)]
            shorter, longer = names if one is None else reversed(names)
            raise DataError(
                f"{shorter}: ends after {number - 1} lines, but {longer} goes on; the two must "
                "match line by line"
            )
        yield one, other
