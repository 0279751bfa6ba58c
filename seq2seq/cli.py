"""The commands. Only this module reads the command line or decides the exit status.

What a command needs is imported when it runs, so that help is immediate and `recipe` and `score`
do without torch.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.arguments import build_parser
from seq2seq.console import Interruption, Log, is_same_file, open_output
from seq2seq.errors import RunError, SettingsError, UserError
from seq2seq.formats import format_scores, format_translation, score_record

if TYPE_CHECKING:
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
    handler = Log()
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

    with Interruption() as interruption:
        outcome = train(recipe, stop=interruption)
    if outcome.status == "interrupted":
        print(f"stopped and saved in {recipe.output_dir}; to go on: {again}", file=sys.stderr)
        return 128 + (interruption.signal or signal.SIGINT)
    return 0


def _run(arguments: Namespace) -> int:
    recipe = _load_recipe(arguments)
    status = _train_recipe(recipe, arguments.again)
    if status:
        return status
    from seq2seq.evaluate import evaluate

    run = Path(recipe.output_dir)
    scores = evaluate(run)
    shown = _show_translations(recipe, run, list(scores))
    print(format_scores(scores), end="")
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
        ensemble=arguments.ensemble,
        decoding=decoding,
        device=arguments.device,
        checkpoint=arguments.checkpoint,
    )
    if arguments.json:
        print(json.dumps({name: list(map(score_record, found)) for name, found in scores.items()}))
    elif scores:
        print(format_scores(scores), end="")
    else:
        raise RunError(f"{arguments.run}: its recipe names no test sets; add data.test")
    return 0


def _average(arguments: Namespace) -> int:
    from seq2seq.train import average

    is_better = average(arguments.run, arguments.best)
    print("the mean is better and now the best" if is_better else "the mean is no better")
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
    )
    if source is None:
        # A reader of its own: the interpreter dies at exit if a thread is reading `sys.stdin`.
        stdin = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
        lines = read_lines(stdin, "standard input")
    else:
        lines = read_lines(source)
    with open_output(arguments.output) as output:
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
        print(json.dumps(list(map(score_record, scores))))
    else:
        print(format_scores({"": scores}), end="")
    return 0


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
    "average": _average,
    "translate": _translate,
    "score": _score,
    "recipe": _recipe,
}
