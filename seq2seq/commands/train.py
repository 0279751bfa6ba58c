"""Training."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from seq2seq.arguments import add_recipe, load_recipe
from seq2seq.console import Interruption

if TYPE_CHECKING:
    from seq2seq.recipe import Recipe

HELP = "train a recipe, or go on where that stopped"
EXAMPLE = "seq2seq train recipes/quickstart/quickstart.yaml training.learning_rate=3e-4"
LOG = True


def add_arguments(parser: ArgumentParser) -> None:
    """Its words."""
    add_recipe(parser)


def run(arguments: Namespace) -> int:
    """Trains until the recipe or a signal says to stop."""
    return train_recipe(load_recipe(arguments), arguments)


def train_recipe(recipe: Recipe, arguments: Namespace) -> int:
    """Trains; says how to go on, should it be interrupted."""
    from seq2seq.train import train

    with Interruption() as interruption:
        outcome = train(recipe, stop=interruption, world=arguments.world)
    if outcome.status == "interrupted":
        print(
            f"stopped and saved in {recipe.output_dir}; to go on: {arguments.again}",
            file=sys.stderr,
        )
        return 128 + (interruption.signal or signal.SIGINT)
    return 0
