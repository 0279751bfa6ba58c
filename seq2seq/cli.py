"""Parses the command line and carries the command out; decides the exit status."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

from seq2seq.arguments import Parser
from seq2seq.commands import (
    average,
    compare,
    curves,
    evaluate,
    generate,
    prepare,
    probability,
    recipe,
    run,
    score,
    train,
    translate,
)
from seq2seq.console import Log, speaking
from seq2seq.errors import UserError
from seq2seq.files import refusal
from seq2seq.parallel import connected


class Command(Protocol):
    """What a module of `commands` holds; DESCRIPTION too, where HELP isn't enough."""

    HELP: str
    EXAMPLE: str
    LOG: bool

    def add_arguments(self, parser: Parser) -> None:
        """Its words."""

    def run(self, arguments: argparse.Namespace) -> int:
        """What it does, to its exit status."""


COMMANDS: Mapping[str, Command] = {
    "run": run,
    "prepare": prepare,
    "train": train,
    "evaluate": evaluate,
    "average": average,
    "translate": translate,
    "probability": probability,
    "generate": generate,
    "score": score,
    "compare": compare,
    "curves": curves,
    "recipe": recipe,
}
"""The commands in the order of the help."""


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
        with connected() as world, speaking(world.is_first):
            arguments = build_parser().parse_args(words or ["--help"])
            logger.setLevel(logging.INFO if arguments.log else logging.WARNING)
            arguments.again = shlex.join([*world.launcher, "seq2seq", *words])
            arguments.world = world
            status = COMMANDS[arguments.command].run(arguments)
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
        _drop_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        handler.finish_line()
        print(refusal(error, error.filename or "output"), file=sys.stderr)
        if error.filename is None:
            _drop_output()
        return 2
    finally:
        handler.finish_line()
        logger.removeHandler(handler)


def _drop_output() -> None:
    """Let go of what can't be written; the interpreter would complain once more at its end."""
    with contextlib.suppress(OSError):  # what stands in for it may have no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser, which sets `command` and whether it logs its progress (`log`)."""
    parser = Parser(
        prog="seq2seq",
        description="Recurrent sequence-to-sequence translation, from a recipe to a score.",
        epilog=f"example: {run.EXAMPLE}",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        added = commands.add_parser(
            name,
            help=module.HELP,
            description=getattr(module, "DESCRIPTION", f"{module.HELP.capitalize()}."),
            epilog=f"example: {module.EXAMPLE}",
            allow_abbrev=False,
        )
        added.set_defaults(command=name, log=module.LOG)
        module.add_arguments(added)
    return parser


def _version() -> str:
    from importlib.metadata import version

    return f"seq2seq {version('seq2seq')}"
