"""Translating a file or what comes in."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.arguments import (
    Parser,
    add_run,
    add_seed,
    choose_models,
    factor,
    load_decoding,
    positive,
)
from seq2seq.console import is_same_file, open_output, prompt_lines
from seq2seq.errors import DataError, UserError
from seq2seq.translation.answers import (
    FORMATS,
    Format,
    Json,
    JsonLines,
    Shown,
    Text,
    Tsv,
    skip_answered,
)
from seq2seq.translation.heatmap import open_pictures
from seq2seq.translation.wishes import in_files, read_in_step, split_phrases

if TYPE_CHECKING:
    from seq2seq.recipe import Decoding
    from seq2seq.translate import Translation, Translator

HELP = "translate lines with a trained run"
DESCRIPTION = """
Translate lines with a trained run. Line n of the output answers line n of the input, blank lines
stay blank. Standard input is answered as it comes; at a terminal there is a prompt. With --scores a
line is SCORE, tab, text; with --alignments a tab and `i-j` for source and target words that go
together, from 0, follow. With --n-best K each line has K answers, best first, each a line of its
own that begins with the number of the input line and a tab. With --json each input line gives one
JSON object with all of this, for each piece too. In TSV the answer is one more column or more, in
JSON lines one more field. Files of --prefix, --constraints and --banned have a line for each line
of the input, which may be blank; - is standard input.
"""
EXAMPLE = "seq2seq translate runs/quickstart < input.en > output.de"
LOG = False

WISHES = {"prefix": "prefixes", "constraints": "constraints", "banned": "banned"}
"""Options that say what is asked of each line, and what `Translator.translate` calls it."""


def add_arguments(parser: Parser) -> None:
    """Its words."""
    add_run(parser)
    text = "file to read instead of standard input (-), may be .gz"
    parser.add_argument("--input", "-i", type=_file, metavar="FILE", help=text)
    text = "file to write instead of standard output (-), may be .gz"
    parser.add_argument("--output", "-o", type=_file, metavar="FILE", help=text)
    text = "go on after the lines that the output file has already"
    parser.add_argument("--resume", action="store_true", help=text)
    text = "of the input: lines of text, tab-separated columns or JSON objects (default: text)"
    parser.add_argument("--format", choices=FORMATS, default="text", help=text)
    text = "what to translate: a column number (default: 1) or a JSON field (default: the source "
    text += "language), a.b for one within another"
    parser.add_argument("--field", metavar="N|NAME", help=text)
    text = "JSON field for the translation (default: translation)"
    parser.add_argument("--into", metavar="NAME", help=text)
    number = parser.add_mutually_exclusive_group()
    number.add_argument("--n-best", metavar="K", help="translations of each line")
    text = "draw so many translations of each line by the model's probabilities, instead of the "
    text += "best; see also decoding.temperature, top_k and top_p"
    number.add_argument("--sample", type=positive, metavar="N", help=text)
    add_seed(parser)
    _add_wishes(parser)
    _add_reranking(parser)
    text = "write the score of each translation, in JSON also the log-probability of each piece"
    parser.add_argument("--scores", action="store_true", help=text)
    text = "write which words go together, in JSON also the attention; needs a model with attention"
    parser.add_argument("--alignments", action="store_true", help=text)
    parser.add_argument("--json", action="store_true", help="write JSON lines")
    text = "draw the attention of each best translation into a folder, a .pdf file or, of a single "
    text += "line, a picture (.png, .svg, .jpg)"
    parser.add_argument("--attention-plot", type=Path, metavar="DIR|FILE", help=text)


def _file(name: str) -> Path | None:
    """A file, or nothing for the standard one."""
    return None if name == "-" else Path(name)


def _add_wishes(parser: Parser) -> None:
    about = "For example: seq2seq translate RUN -i input.en --prefix begun.de --beam-size 20"
    group = parser.add_argument_group("what is asked of each line", about)
    text = "how its translation begins; the last word may go on, unless a space follows it"
    group.add_argument("--prefix", metavar="FILE", help=text)
    text = "phrases that it must have as whole words, between tabs; better with a larger beam"
    group.add_argument("--constraints", metavar="FILE", help=text)
    text = "phrases that it must not have as whole words, between tabs"
    group.add_argument("--banned", metavar="FILE", help=text)


def _add_reranking(parser: Parser) -> None:
    about = "The best of the beam, or of samples, by the sum of all log-probabilities, under the "
    about += "length penalty of the search. Runs may have any tokenizer and write from either end. "
    about += "For example: --n-best 5 --rerank runs/from-the-end runs/text --rerank-weights 1 0.3"
    group = parser.add_argument_group("reranking", about)
    text = "of the same direction, of the other one (data.src and data.tgt swapped; judges how "
    text += "well the source follows from the translation), or a language model"
    group.add_argument("--rerank", type=Path, nargs="+", default=[], metavar="RUN", help=text)
    text = "how much each of these counts, one number each (default: 1, as RUN itself)"
    group.add_argument("--rerank-weights", type=factor, nargs="+", metavar="W", help=text)


def run(arguments: Namespace) -> int:
    """Writes an answer to each line."""
    decoding = load_decoding(arguments)
    form, shown = _choose_format(arguments, decoding)
    source, output, world = arguments.input, arguments.output, arguments.world
    if source is None and world.size > 1:
        raise UserError("seq2seq translate: several processes can't share stdin; give --input")
    if source is not None and is_same_file(source, output):
        raise UserError(f"{source}: is input and output; write to another file")
    at_prompt = source is None and output is None and sys.stdin.isatty() and sys.stdout.isatty()
    wishes = _choose_wishes(arguments, at_prompt)
    if arguments.resume and output is None:
        raise UserError("seq2seq translate: --resume goes on in a file; name it with --output")
    details = (
        arguments.attention_plot is not None
        or shown.alignments
        or (shown.scores and not isinstance(form, Text | Tsv))
    )
    window = 1 if at_prompt else _window(details)
    lines, answered, again = _read_lines(source), 0, 0
    if arguments.resume:
        # What the first process cuts off the output the others needn't find there.
        if world.is_first:
            numbered = shown.numbered and isinstance(form, Text)
            answered, again, lines = skip_answered(
                output, lines, form, numbered=numbered, window=window * world.size
            )
        answered, again = (int(world.agree(number)) for number in (answered, again))
        if not world.is_first:
            lines = islice(lines, answered - again, None)
    translator = _load(arguments, decoding)
    answers = _translate(
        translator,
        _typed(form) if at_prompt else lines,
        wishes,
        form,
        source,
        answered,
        again=again,
        window=window,
        details=details,
    )
    with ExitStack() as stack:
        draw = None
        if arguments.attention_plot is not None and world.is_first:
            pictures = open_pictures(arguments.attention_plot, resume=arguments.resume)
            draw = stack.enter_context(pictures)
        file = stack.enter_context(
            open_output(output if world.is_first else Path(os.devnull), append=arguments.resume)
        )
        for line, translation in answers:
            best, src = translation.hypotheses[0], translation.src_tokens
            # Before the answer, after which --resume goes on.
            if draw is not None and best.attention is not None and src is not None:
                draw(translation.line + 1, src, best.tokens, best.attention)
            for answer in form.write(line, translation):
                print(answer, file=file, flush=True)
    return 0


def _choose_format(arguments: Namespace, decoding: Decoding) -> tuple[Format, Shown]:
    shown = Shown(decoding.n_best, arguments.scores, arguments.alignments)
    name = arguments.format
    for option, given, fitting in (
        ("--json", arguments.json, ("text",)),
        ("--field", arguments.field is not None, ("tsv", "jsonl")),
        ("--into", arguments.into is not None, ("jsonl",)),
    ):
        if given and name not in fitting:
            where = " or ".join(fitting)
            raise UserError(
                f"seq2seq translate: {option} goes with --format {where}, not {name}; leave it out"
            )
    if name == "tsv":
        return Tsv(shown, arguments.field or "1"), shown
    if name == "jsonl":
        from seq2seq.run import Run

        field = arguments.field or Run(arguments.run).load_recipe().data.src or "text"
        return JsonLines(shown, field, arguments.into or "translation"), shown
    return (Json if arguments.json else Text)(shown), shown


def _choose_wishes(arguments: Namespace, at_prompt: bool) -> dict[str, Path | None]:
    """The files that say what is asked of the lines, by `WISHES`; None for standard input."""
    found: dict[str, Path | None] = {}
    for option, side in WISHES.items():
        name = getattr(arguments, option)
        if name is None:
            continue
        found[side] = None if name == "-" else Path(name)
        if at_prompt:
            raise UserError(f"seq2seq translate: --{option} goes with a file; name it with --input")
        if name != "-" and is_same_file(Path(name), arguments.output):
            raise UserError(f"{name}: is --{option} and output; write to another file")
    if [arguments.input, *found.values()].count(None) > 1:
        raise UserError(
            "seq2seq translate: standard input can be read once only; name files for the others"
        )
    if None in found.values() and arguments.world.size > 1:
        raise UserError("seq2seq translate: several processes can't share stdin; name a file")
    return found


def _read_lines(source: Path | None) -> Iterator[str]:
    from seq2seq.data.corpus import read_lines

    if source is not None:
        return read_lines(source)
    # A reader of its own: the interpreter dies at exit if a thread is reading `sys.stdin`.
    stdin = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
    return read_lines(stdin, "standard input")


def _typed(form: Format) -> Iterator[str]:
    """The lines of the prompt that can be read; of others it is said why not."""
    for number, line in enumerate(prompt_lines(), 1):
        try:
            form.read(line, f"{_name(None)}:{number}")
        except DataError as error:
            print(error, file=sys.stderr, flush=True)
        else:
            yield line


def _load(arguments: Namespace, decoding: Decoding) -> Translator:
    from seq2seq.translate import Translator

    translator = Translator.load(
        arguments.run,
        decoding=decoding,
        rerank=arguments.rerank,
        rerank_weights=arguments.rerank_weights,
        **choose_models(arguments),
        world=arguments.world,
    )
    for option in ("alignments", "attention_plot"):
        if getattr(arguments, option) and not translator.has_attention:
            raise UserError(
                f"{arguments.run}: its model has no attention (model.decoder.attention: null); "
                f"leave out --{option.replace('_', '-')}"
            )
    return translator


def _translate(
    translator: Translator,
    lines: Iterator[str],
    wishes: Mapping[str, Path | None],
    form: Format,
    source: Path | None,
    answered: int,
    *,
    again: int,
    window: int,
    details: bool,
) -> Iterator[tuple[str, Translation]]:
    """The lines after those that are answered, each with its translation.

    What is given begins with the last so many of those that are answered, where a window does.
    """
    from tqdm import tqdm

    one_by_one, start = window == 1, answered - again
    waiting: deque[str] = deque()
    name, names = _name(source), {side: _name(path) for side, path in wishes.items()}
    files = [(names[side], _read_lines(path)) for side, path in wishes.items()]
    lines, *asked = read_in_step((name, lines), files, start)
    given = dict(zip(wishes, asked, strict=True))
    phrases = {side: map(split_phrases, own) for side, own in given.items()}

    def texts() -> Iterator[str]:
        for number, line in enumerate(lines, start + 1):
            text = form.read(line, f"{name}:{number}")
            waiting.append(line)
            yield text

    translations = translator.translate(
        texts(),
        prefixes=given.get("prefixes"),
        constraints=phrases.get("constraints"),
        banned=phrases.get("banned"),
        start=start,
        details=details,
        as_they_come=source is None and not one_by_one,
        window=window,
    )
    pairs = ((waiting.popleft(), one) for one in in_files(translations, names))
    quiet = one_by_one or not sys.stderr.isatty()
    told = islice(pairs, again, None)
    return iter(tqdm(told, unit=" lines", initial=answered, disable=quiet))


def _window(details: bool) -> int:
    """Lines that a process reads together; attention takes the room of many."""
    from seq2seq.translate import WINDOW

    return WINDOW // 8 if details else WINDOW


def _name(source: Path | None) -> str:
    return "standard input" if source is None else str(source)
