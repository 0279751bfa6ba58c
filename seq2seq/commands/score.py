"""Scores of files."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.arguments import add_evaluation, load_evaluation
from seq2seq.errors import DataError, UserError
from seq2seq.formats import format_scores

if TYPE_CHECKING:
    from seq2seq.recipe import Evaluation
    from seq2seq.scoring.significance import PairedTest
    from seq2seq.scoring.systems import Systems

HELP = "score translations against references"
DESCRIPTION = """
Score translations against references, several systems at once with --systems. These are tested for
differences from the baseline, which is HYP unless --baseline names another. Files may be .gz.
"""
EXAMPLE = "seq2seq score output.de reference.de --metrics bleu,chrf,ter"
LOG = False


def add_arguments(parser: ArgumentParser) -> None:
    """Its words."""
    parser.add_argument("hypotheses", metavar="HYP", help="file of translations, - for stdin")
    parser.add_argument("references", nargs="+", metavar="REF", help="file of references")
    text = "files of translations by other systems"
    parser.add_argument("--systems", nargs="+", default=[], metavar="HYP", help=text)
    text = "file of translations that all others are compared with"
    parser.add_argument("--baseline", metavar="HYP", help=text)
    text = "file of source lines; says how many translations are copies of them"
    parser.add_argument("--src", metavar="FILE", help=text)
    add_evaluation(parser)
    text = "scores of short and long lines or of rare and frequent words too; may be given twice"
    parser.add_argument(
        "--by", action="append", default=[], choices=("length", "rarity"), help=text
    )
    text = "training text of the target language that says how frequent words are, for --by rarity"
    parser.add_argument("--train", type=Path, metavar="FILE", help=text)
    choices = ("text", "json", "markdown", "latex")
    text = "of the output (default: text)"
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--format", choices=choices, default="text", help=text)
    text = "the same as --format json"
    shown.add_argument("--json", action="store_const", dest="format", const="json", help=text)


def run(arguments: Namespace) -> int:
    """Prints the scores."""
    section = load_evaluation(arguments)
    baseline = [] if arguments.baseline is None else [arguments.baseline]
    files = [*baseline, arguments.hypotheses, *arguments.systems]
    if arguments.paired and len(files) == 1:
        raise UserError("--paired: compares systems; name others with --systems")
    if arguments.train and "rarity" not in arguments.by:
        raise UserError("--train: says how frequent words are; give --by rarity too")
    test = load_test(arguments, section) if len(files) > 1 else None
    systems = load_systems(files, arguments.references, section, arguments.src)
    from seq2seq.data.corpus import read_lines
    from seq2seq.scoring.report import report_copies, report_lengths, report_rarity, report_scores
    from seq2seq.scoring.tables import TABLE_FORMATS

    results = systems.results(test)
    reports = [report_scores(results, test)]
    if systems.sources is not None:
        reports.append(report_copies(systems))
    if "length" in arguments.by:
        reports += report_lengths(systems)
    if "rarity" in arguments.by:
        train = None if arguments.train is None else read_lines(arguments.train)
        reports.append(report_rarity(systems, train))
    if arguments.format == "json":
        print(json.dumps([record for report in reports for record in report.records]))
    else:
        blocks = [TABLE_FORMATS[arguments.format](report.table) for report in reports]
        if arguments.format == "text" and len(files) == 1:
            blocks[0] = format_scores({"": [result.score for result in results]})
        print("\n".join(blocks), end="")
    return 0


def load_test(arguments: Namespace, section: Evaluation) -> PairedTest | None:
    """The test for differences that `add_evaluation` took; none without resamples for it."""
    from seq2seq.scoring.significance import PairedTest

    if arguments.paired == "ar":
        return PairedTest("ar", arguments.trials or 10_000)
    if section.bootstrap > 1:
        return PairedTest("bs", section.bootstrap)
    if arguments.paired:
        raise UserError("--paired bs: needs resamples; leave out --bootstrap or take --paired ar")
    return None


def load_systems(
    files: Sequence[str],
    reference_files: Sequence[str],
    section: Evaluation,
    source_file: str | None = None,
) -> Systems:
    """Reads translations and references, and says on stderr what looks wrong with them."""
    from seq2seq.scoring.suspicion import suspicions
    from seq2seq.scoring.systems import Systems

    for place, file in enumerate(files):
        if file in files[:place]:
            raise UserError(f"{file}: given twice as a system; name each once")
    texts = _read([*files, *reference_files, *([source_file] if source_file else [])])
    names = list(map(_name, files))
    end = len(files) + len(reference_files)
    sources = texts[end] if source_file else None
    systems = Systems(names, texts[: len(files)], texts[len(files) : end], section, sources)
    for name, lines in zip(names, systems.texts, strict=True):
        for message in suspicions(name, lines, systems.references, section, sources):
            print(f"warning: {message}", file=sys.stderr)
    return systems


def _read(files: Sequence[str]) -> list[list[str]]:
    """The lines of files that answer one another."""
    from seq2seq.data.corpus import read_lines

    if files.count("-") > 1:
        raise UserError("-: standard input can be read once only; name files for the others")
    names = list(map(_name, files))
    texts = [
        list(read_lines(sys.stdin.buffer, name) if file == "-" else read_lines(Path(file)))
        for file, name in zip(files, names, strict=True)
    ]
    for name, lines in zip(names, texts, strict=True):
        if len(lines) != len(texts[0]):
            counts = f"{len(lines)} lines, but {names[0]} has {len(texts[0])}"
            raise DataError(f"{name}: {counts}; they must answer line by line")
        if not lines:
            raise DataError(f"{name}: no lines; there is nothing to score")
    return texts


def _name(file: str) -> str:
    return "standard input" if file == "-" else file
