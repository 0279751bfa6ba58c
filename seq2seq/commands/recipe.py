"""Checking recipes and explaining their keys."""

import json
from argparse import Namespace

from seq2seq.arguments import Parser, add_recipe, load_recipe
from seq2seq.errors import SettingsError, UserError

HELP = "check a recipe and print it in full"
EXAMPLE = "seq2seq recipe --explain training.learning_rate"
LOG = False


def add_arguments(parser: Parser) -> None:
    """Its words."""
    add_recipe(parser, required=False)
    text = "say what a key means, its default and its legal values; without KEY, list the sections"
    parser.add_argument("--explain", nargs="?", const="", metavar="KEY", help=text)
    parser.add_argument("--schema", action="store_true", help="print the JSON schema for editors")


def run(arguments: Namespace) -> int:
    """Prints the recipe, what a key means, or the schema."""
    if arguments.explain is not None:
        return _explain(arguments.explain)
    if arguments.schema:
        from seq2seq.recipe import Recipe
        from seq2seq.settings import json_schema

        print(json.dumps(json_schema(Recipe), indent=2))
    elif arguments.recipe is None:
        raise UserError("seq2seq recipe: give a RECIPE, --explain or --schema")
    else:
        recipe = load_recipe(arguments)
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
