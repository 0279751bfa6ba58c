"""The commands. Only this module prints, reads the command line or decides the exit status.

What a command needs is imported when it runs, so that help is immediate and `recipe` and `score`
do without torch.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import os
import shlex
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from seq2seq.arguments import build_parser
from seq2seq.errors import RunError, SettingsError, UserError

if TYPE_CHECKING:
    from seq2seq.metrics import Score
    from seq2seq.recipe import Decoding, Recipe
    from seq2seq.translate import Translation

NUM_SHOWN = 4


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: The words after `seq2seq`; by default those of the process.

    Returns:
        The exit status: 0, 2 for what the user can mend, 130 and 143 when interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    handler = _Log()
    logger = logging.getLogger("seq2seq")
    logger.addHandler(handler)
    try:
        arguments = build_parser().parse_args(words or ["--help"])
        logger.setLevel(logging.INFO if arguments.log else logging.WARNING)
        arguments.again = shlex.join(["seq2seq", *words])
        status = COMMANDS[arguments.command](arguments)
        sys.stdout.flush()
        return status
    except SystemExit as exit_:  # argparse has printed its help
        return int(exit_.code or 0)
    except UserError as error:
        handler.finish_line()
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        handler.finish_line()
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The interpreter would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    finally:
        handler.finish_line()
        logger.removeHandler(handler)


def _load_recipe(arguments: Namespace) -> Recipe:
    from seq2seq.recipe import load_recipe

    return load_recipe(arguments.recipe, arguments.overrides)


def _prepare(arguments: Namespace) -> int:
    recipe = _load_recipe(arguments)
    from seq2seq.prepare import prepare

    print(prepare(recipe).ledger)
    return 0


def _train(arguments: Namespace) -> int:
    return _train_recipe(_load_recipe(arguments), arguments.again)


def _train_recipe(recipe: Recipe, again: str) -> int:
    from seq2seq.train import train

    with _Interruption() as interruption:
        outcome = train(recipe, stop=interruption)
    if outcome.status == "interrupted":
        print(f"stopped and saved in {recipe.output_dir}; to go on: {again}", file=sys.stderr)
        return 128 + (interruption.signal or signal.SIGINT)
    return 0


class _Interruption:
    """Says, when it is called, whether to stop.

    From the first call on the first Ctrl-C or SIGTERM is only noted and the second has its usual
    effect; before it, while there is nothing to save, both have.
    """

    signal: int | None = None

    def __enter__(self) -> _Interruption:
        self._before: dict[int, Any] = {}
        return self

    def __call__(self) -> bool:
        if not self._before:
            with contextlib.suppress(ValueError):  # only the main thread may handle signals
                for number in (signal.SIGINT, signal.SIGTERM):
                    self._before[number] = signal.signal(number, self._note)
        return self.signal is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self.__exit__()
        print("\nstopping after this update; once more to abort", file=sys.stderr, flush=True)

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _run(arguments: Namespace) -> int:
    recipe = _load_recipe(arguments)
    status = _train_recipe(recipe, arguments.again)
    if status:
        return status
    from seq2seq.evaluate import evaluate

    run = Path(recipe.output_dir)
    scores = evaluate(run)
    shown = _show_translations(recipe, run, list(scores))
    _print_scores(scores)
    command = f"seq2seq translate {shlex.quote(str(run))}"
    print(f"\nTo translate:\n  echo {shlex.quote(shown)} | {command}")
    print(f"  {command} < FILE.{recipe.data.src} > FILE.{recipe.data.tgt}")
    return 0


def _show_translations(recipe: Recipe, run: Path, tests: list[str]) -> str:
    """Prints a few lines, evenly spaced, of the first test set or of the development set.

    Returns:
        One of the source lines.
    """
    from seq2seq.data.corpus import read_lines, read_pairs

    if tests:
        pairs = list(read_pairs(recipe.data.test[tests[0]], recipe.data, "test"))
        outputs = list(read_lines(run / "evaluation" / f"{tests[0]}.hyp"))
    else:
        from seq2seq.translate import Translator

        pairs = list(read_pairs(recipe.data.dev, recipe.data, "dev"))
    chosen = [len(pairs) * i // NUM_SHOWN for i in range(min(NUM_SHOWN, len(pairs)))]
    if not tests:
        translator = Translator.load(run, decoding=None, device=None, checkpoint="best")
        answers = translator.translate(pairs[i][0] for i in chosen)
        outputs = [answer.text for answer in answers]
    else:
        outputs = [outputs[i] for i in chosen]
    for index, output in zip(chosen, outputs, strict=True):
        source, reference = pairs[index]
        print(f"\n  source     {source}\n  reference  {reference}\n  output     {output}")
    print()
    return pairs[0][0]


def _evaluate(arguments: Namespace) -> int:
    decoding = _decoding(arguments)
    from seq2seq.evaluate import evaluate

    scores = evaluate(
        arguments.run,
        decoding=decoding,
        device=arguments.device,
        checkpoint=arguments.checkpoint,
    )
    if arguments.json:
        print(json.dumps({name: list(map(_as_json, found)) for name, found in scores.items()}))
    elif scores:
        _print_scores(scores)
    else:
        raise RunError(f"{arguments.run}: its recipe names no test sets; add data.test")
    return 0


def _decoding(arguments: Namespace) -> Decoding:
    """The run's way of decoding with what the command line changes."""
    from seq2seq.recipe import load_recipe

    saved = arguments.run / "recipe.yaml"
    if not saved.is_file():
        what = "a file" if arguments.run.is_file() else "no such directory"
        what = "no recipe.yaml in it" if arguments.run.is_dir() else what
        raise RunError(f"{arguments.run}: not a run directory ({what}); `seq2seq run` makes one")
    given = {
        key: getattr(arguments, key, None) for key in ("beam_size", "length_penalty", "batch_size")
    }
    given["n_best"] = getattr(arguments, "n_best", None) or "1"
    overrides = [f"decoding.{key}={value}" for key, value in given.items() if value is not None]
    if arguments.device is not None:
        overrides.append(f"device={arguments.device}")
    return load_recipe(saved, overrides, check_files=False).decoding


def _translate(arguments: Namespace) -> int:
    decoding = _decoding(arguments)
    source = arguments.input
    if source is not None and _is_same_file(source, arguments.output):
        raise UserError(f"{source}: is input and output; write to another file")
    from tqdm import tqdm

    from seq2seq.data.corpus import read_lines
    from seq2seq.translate import Translator

    translator = Translator.load(
        arguments.run, decoding=decoding, device=arguments.device, checkpoint=arguments.checkpoint
    )
    if source is None:
        # A reader of its own: the interpreter dies at exit if a thread is reading `sys.stdin`.
        stdin = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
        lines = read_lines(stdin, "standard input")
    else:
        lines = read_lines(source)
    with _open_output(arguments.output) as output:
        translations: Iterable[Translation] = tqdm(
            translator.translate(lines, as_they_come=source is None),
            unit=" lines",
            disable=not sys.stderr.isatty(),
        )
        for translation in translations:
            for line in _format(translation, arguments, decoding.n_best):
                print(line, file=output, flush=True)
    return 0


def _is_same_file(one: Path, other: Path | None) -> bool:
    return other is not None and one.exists() and other.exists() and one.samefile(other)


@contextlib.contextmanager
def _open_output(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        file = opened(path, "wt", encoding="utf-8", newline="\n")
    except OSError as error:
        reason = str(error.strerror).lower()
        raise UserError(f"{path}: cannot be written ({reason}); name another file") from None
    with file:
        yield file


def _format(translation: Translation, arguments: Any, n_best: int) -> Iterator[str]:
    """The lines that answer one line."""
    if arguments.json:
        answers = [
            {"text": h.text, "score": h.score, "log_prob": h.log_prob, "tokens": h.tokens}
            for h in translation.hypotheses
        ]
        answer = {"line": translation.line + 1, "src": translation.src, "translations": answers}
        yield json.dumps(answer, ensure_ascii=False)
        return
    number = f"{translation.line + 1}\t" if n_best > 1 else ""
    for hypothesis in translation.hypotheses:
        score = f"{hypothesis.score:.4f}\t" if arguments.scores else ""
        yield f"{number}{score}{hypothesis.text}"


def _score(arguments: Namespace) -> int:
    from seq2seq.errors import DataError
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
        print(json.dumps(list(map(_as_json, scores))))
    else:
        _print_scores({"": scores})
    return 0


def _as_json(score: Score) -> dict[str, object]:
    return {
        "name": score.name,
        "value": score.value,
        "interval": score.interval,
        "signature": score.signature,
    }


def _print_scores(scores: dict[str, list[Score]]) -> None:
    for test, found in scores.items():
        for score in found:
            low_high = "[{:.2f}, {:.2f}]".format(*score.interval) if score.interval else ""
            text = f"{score.name:<8} {score.value:6.2f} {low_high:<16} {score.signature}"
            print(f"{test:<12} {text}" if test else text)


def _recipe(arguments: Namespace) -> int:
    if arguments.explain is not None:
        return _explain(arguments.explain)
    if arguments.schema:
        from seq2seq.recipe import Recipe
        from seq2seq.settings import json_schema

        print(json.dumps(json_schema(Recipe), indent=2))
    elif arguments.recipe is None:
        raise UserError("seq2seq recipe: give a RECIPE, --explain or --schema")
    else:
        recipe = _load_recipe(arguments)
        from seq2seq.prepare import preview

        print(preview(recipe), end="")
    return 0


def _explain(name: str) -> int:
    from seq2seq.keys import explain, suggest
    from seq2seq.nodes import BASE, BASE_DOC
    from seq2seq.recipe import Recipe

    text = f"{BASE}\n  {BASE_DOC}" if name == BASE else explain(Recipe, name)
    if text is None:
        hint = suggest(Recipe, name.split("."))
        raise SettingsError([f"command line: {name}: unknown key; {hint}"])
    print(text)
    return 0


COMMANDS: dict[str, Callable[[Namespace], int]] = {
    "run": _run,
    "prepare": _prepare,
    "train": _train,
    "evaluate": _evaluate,
    "translate": _translate,
    "score": _score,
    "recipe": _recipe,
}


class _Log(logging.Handler):
    """Writes records to stderr; on a terminal a progress line overwrites the one before."""

    def __init__(self) -> None:
        super().__init__()
        self._width = 0

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if getattr(record, "progress", False) and sys.stderr.isatty():
            print(f"\r{text:<{self._width}}", end="", file=sys.stderr, flush=True)
            self._width = len(text)
        else:
            self.finish_line()
            print(text, file=sys.stderr, flush=True)

    def finish_line(self) -> None:
        """Ends a progress line, so that what follows has a line of its own."""
        if self._width:
            print(file=sys.stderr, flush=True)
            self._width = 0
