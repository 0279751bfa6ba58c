"""Training."""

from __future__ import annotations

import json
import signal
import sys
from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from seq2seq.arguments import Parser, add_recipe, load_recipe
from seq2seq.console import Interruption
from seq2seq.errors import UserError
from seq2seq.formats import format_plan

if TYPE_CHECKING:
    from seq2seq.recipe import Recipe

HELP = "train a recipe, or go on where that stopped"
EXAMPLE = "seq2seq train recipes/quickstart/quickstart.yaml training.learning_rate=3e-4"
LOG = True


def add_arguments(parser: Parser) -> None:
    """Its words."""
    add_recipe(parser)
    text = "only say what it will take (memory, speed, hours), after some updates on trial"
    parser.add_argument("--plan", action="store_true", help=text)
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")


def run(arguments: Namespace) -> int:
    """Trains until the recipe or a signal says to stop, or says what that would take."""
    if arguments.json and not arguments.plan:
        raise UserError("seq2seq train: --json prints a plan; give --plan too")
    recipe = load_recipe(arguments)
    if arguments.plan:
        from seq2seq.plan import plan

        found = plan(recipe, arguments.world)
        text = json.dumps(asdict(found)) + "\n" if arguments.json else format_plan(found)
        print(text, end="")
        return 0
    return train_recipe(recipe, arguments)


def train_recipe(recipe: Recipe, arguments: Namespace) -> int:
    """Trains; says how to go on, should it be interrupted."""
    from seq2seq.train import train

    with Interruption() as interruption:
        outcome = train(recipe, stop=interruption, world=arguments.world)
    # A signal may come when there is no update left to stop after.
    if outcome.status == "interrupted" or interruption.signal is not None:
        how = "stopped" if outcome.status == "interrupted" else "training is over"
        print(
            f"{how} and saved in {recipe.output_dir}; to go on: {arguments.again}", file=sys.stderr
        )
        return 128 + (interruption.signal or signal.SIGINT)
    return 0
