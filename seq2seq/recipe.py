"""The recipe: everything that configures a run, one key each.

Its sections are in `seq2seq.sections`; everybody else takes them from here.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from seq2seq import settings
from seq2seq.errors import SettingsError
from seq2seq.sections.conflicts import find_conflicts
from seq2seq.sections.data import Data as Data
from seq2seq.sections.data import Tokenizer as Tokenizer
from seq2seq.sections.decoding import Decoding as Decoding
from seq2seq.sections.decoding import Evaluation as Evaluation
from seq2seq.sections.decoding import Metric as Metric
from seq2seq.sections.files import find_missing_files
from seq2seq.sections.model import AttentionType as AttentionType
from seq2seq.sections.model import Decoder as Decoder
from seq2seq.sections.model import Encoder as Encoder
from seq2seq.sections.model import Feeding as Feeding
from seq2seq.sections.model import Model as Model
from seq2seq.sections.model import RnnType as RnnType
from seq2seq.sections.sources import Corpus as Corpus
from seq2seq.sections.training import AUTO as AUTO
from seq2seq.sections.training import Training as Training
from seq2seq.settings import Section
from seq2seq.settings import changed_keys as changed_keys


class Recipe(Section):
    """All of a run."""

    name: str = Field(min_length=1, default_factory=lambda: "run")
    """Name of the run. Default: the recipe file's name without its suffix."""

    seed: int = Field(default=1, ge=0, lt=2**31)
    """Seed of everything random."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; `auto` takes a GPU if there is one."""

    output_dir: str = Field(min_length=1, default_factory=lambda given: f"runs/{given['name']}")
    """The run directory. Default: `runs/NAME`."""

    data: Data
    """Corpora."""

    tokenizer: Tokenizer = Tokenizer()
    """Tokenisation."""

    model: Model = Model()
    """Network."""

    training: Training = Training()
    """Training."""

    decoding: Decoding = Decoding()
    """Search."""

    evaluation: Evaluation = Evaluation()
    """Scores."""

    @model_validator(mode="before")
    @classmethod
    def _rank_language_models_by_loss(cls, given: Any) -> Any:
        match given:
            case {"model": {"type": "language_model"}, **others}:
                training = others.get("training", {})
                if isinstance(training, dict):
                    training = {"early_stopping_metric": "loss"} | training
                return given | {"training": training}
        return given


def load_recipe(path: Path, overrides: Sequence[str] = (), *, check_files: bool = True) -> Recipe:
    """Reads and checks a recipe.

    Args:
        path: YAML file.
        overrides: `key.sub=value`, as on the command line.
        check_files: Whether files that the recipe names must exist (or a script to make them);
            a finished run needs none of them.

    Raises:
        SettingsError: With all that is wrong, one line each.
    """
    checks = (find_conflicts, find_missing_files) if check_files else (find_conflicts,)
    defaults = {"name": path.stem}
    return settings.load(path, Recipe, overrides, defaults=defaults, checks=checks)


def dump_recipe(
    recipe: Recipe, reasons: Mapping[str, str] | None = None, still_open: Iterable[str] = ()
) -> str:
    """The complete recipe as YAML, defaults included; loading it gives the same recipe.

    Args:
        recipe: What to write.
        reasons: Why values were chosen that nobody gave, by dotted key.
        still_open: Dotted keys whose values are yet to be chosen.
    """
    comments = {key: f"chosen: {reason}" for key, reason in (reasons or {}).items()}
    left_out = dict.fromkeys(still_open, "to be chosen from the corpus")
    return settings.dump(recipe, comments, left_out)


_FIRST, _LAST = "# The complete recipe of a run; its last line is three dots.", "..."


def dump_saved(recipe: Recipe, reasons: Mapping[str, str] | None = None) -> str:
    """The recipe as a run directory holds it: in full, between lines that show that it is whole."""
    return f"{_FIRST}\n{dump_recipe(recipe, reasons)}{_LAST}\n"


def load_saved(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads the recipe of a run.

    Defaults would stand in for what is cut off, and other results would come out.

    Raises:
        SettingsError: It is wrong or cut off.
    """
    recipe = load_recipe(path, overrides, check_files=False)
    text = path.read_text(encoding="utf-8")
    if text.startswith(_FIRST) and not text.rstrip().endswith(f"\n{_LAST}"):
        raise SettingsError([f"{path}: is cut off; take it from a copy, or train the run anew"])
    return recipe
