"""Translating a file or what comes in."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.arguments import add_run, load_decoding
from seq2seq.console import is_same_file, open_output
from seq2seq.errors import UserError
from seq2seq.formats import format_translation

if TYPE_CHECKING:
    from seq2seq.translate import Translation

HELP = "translate lines with a trained run"
DESCRIPTION = """
Translate lines with a trained run. Line n of the output answers line n of the input, blank lines
stay blank. Standard input is answered as it comes, at a terminal line by line. With --scores a line
is SCORE, tab, text. With --n-best K each line has K answers, best first, each a line of its own
that begins with the number of the input line and a tab. With --json each input line gives one JSON
object with all of this and more.
"""
EXAMPLE = "seq2seq translate runs/quickstart < input.en > output.de"
LOG = False


def add_arguments(parser: ArgumentParser) -> None:
    """Its words."""
    add_run(parser)
    text = "file to read instead of standard input, may be .gz"
    parser.add_argument("--input", "-i", type=Path, metavar="FILE", help=text)
    text = "file to write instead of standard output, may be .gz"
    parser.add_argument("--output", "-o", type=Path, metavar="FILE", help=text)
    parser.add_argument("--n-best", metavar="K", help="translations of each line")
    parser.add_argument("--scores", action="store_true", help="write the score of each translation")
    parser.add_argument("--json", action="store_true", help="write JSON lines")


def run(arguments: Namespace) -> int:
    """Writes an answer to each line."""
    decoding = load_decoding(arguments)
    source, world = arguments.input, arguments.world
    if source is None and world.size > 1:
        raise UserError("seq2seq translate: several processes can't share stdin; give --input")
    if source is not None and is_same_file(source, arguments.output):
        raise UserError(f"{source}: is input and output; write to another file")
    from tqdm import tqdm

    from seq2seq.data.corpus import read_lines
    from seq2seq.translate import Translator

    translator = Translator.load(
        arguments.run,
        ensemble=arguments.ensemble,
        decoding=decoding,
        device=arguments.device,
        checkpoint=arguments.checkpoint,
        world=world,
    )
    if source is None:
        # A reader of its own: the interpreter dies at exit if a thread is reading `sys.stdin`.
        stdin = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
        lines = read_lines(stdin, "standard input")
    else:
        lines = read_lines(source)
    with open_output(arguments.output if world.is_first else Path(os.devnull)) as output:
        translations: Iterable[Translation] = tqdm(
            translator.translate(lines, as_they_come=source is None),
            unit=" lines",
            disable=not sys.stderr.isatty(),
        )
        for translation in translations:
            for line in format_translation(
                translation,
                numbered=decoding.n_best > 1,
                scores=arguments.scores,
                as_json=arguments.json,
            ):
                print(line, file=output, flush=True)
    return 0
