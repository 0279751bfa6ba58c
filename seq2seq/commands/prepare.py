"""Everything that comes before training."""

from argparse import Namespace

from seq2seq.arguments import Parser, add_recipe, load_recipe

HELP = "read the corpora, train the tokenizers and encode the text"
EXAMPLE = "seq2seq prepare recipes/quickstart/quickstart.yaml"
LOG = True


def add_arguments(parser: Parser) -> None:
    """Its words."""
    add_recipe(parser)


def run(arguments: Namespace) -> int:
    """Prints what became of the pairs."""
    recipe = load_recipe(arguments)
    from seq2seq.prepare import prepare

    print(arguments.world.in_turn(lambda: prepare(recipe)).account)
    return 0
