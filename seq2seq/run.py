"""The run directory: all that a trained model is, in one place."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from seq2seq.data.tokenizer import Tokenizers, load_tokenizers
from seq2seq.errors import RunError
from seq2seq.recipe import Recipe, dump_recipe, load_recipe

if TYPE_CHECKING:
    from seq2seq.model.seq2seq import Seq2Seq

CheckpointName = Literal["best", "last"]


@dataclass(frozen=True)
class Run:
    """Paths in a run directory, and what is loaded from there."""

    path: Path

    @property
    def recipe_file(self) -> Path:
        """The complete recipe."""
        return self.path / "recipe.yaml"

    @property
    def metrics_file(self) -> Path:
        """Records of training, a JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def evaluation(self) -> Path:
        """Folder of the translated test sets and their scores."""
        return self.path / "evaluation"

    def checkpoint(self, name: CheckpointName) -> Path:
        """File of a checkpoint."""
        return self.path / "checkpoints" / f"{name}.safetensors"

    def load_recipe(self) -> Recipe:
        """The recipe of the run.

        Raises:
            RunError: this is no run directory.
        """
        if not self.recipe_file.exists():
            raise RunError(
                f"{self.path}: no run directory (it has no recipe.yaml); name one that "
                "'seq2seq run' or 'seq2seq train' made"
            )
        return load_recipe(self.recipe_file, check_files=False)

    def save_recipe(self, recipe: Recipe) -> None:
        """Keep the complete recipe with the run."""
        self.path.mkdir(parents=True, exist_ok=True)
        partial = self.recipe_file.with_suffix(".partial")
        partial.write_text(dump_recipe(recipe), encoding="utf-8")
        partial.replace(self.recipe_file)

    def load_tokenizers(self) -> Tokenizers:
        """The tokenizers of the run."""
        return load_tokenizers(self.path / "tokenizer")

    def load_model(self, tokenizers: Tokenizers, checkpoint: CheckpointName) -> "Seq2Seq":
        """The trained network, ready to translate.

        Raises:
            RunError: there is no such checkpoint.
        """
        from seq2seq.checkpoint import load, load_weights
        from seq2seq.model.seq2seq import Seq2Seq

        path = self.checkpoint(checkpoint)
        if not path.exists():
            raise RunError(f"{path}: no checkpoint yet; train the run first")
        model = Seq2Seq(self.load_recipe().model, len(tokenizers.src), len(tokenizers.tgt))
        saved = load(path)
        load_weights(model, saved.part("average") or saved.part("model"))
        return model.eval()
