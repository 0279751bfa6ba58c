"""The run directory: all that a trained model is, in one place."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

from seq2seq.data.tokenizer import Tokenizers, load_tokenizers
from seq2seq.errors import DataError, RunError
from seq2seq.files import damaged_file, digest, locked, previous_path, told, write_text
from seq2seq.recipe import Decoding, Recipe, changed_keys, dump_saved, load_saved

if TYPE_CHECKING:
    from seq2seq.checkpoint import Checkpoint
    from seq2seq.model.seq2seq import Seq2Seq

CheckpointName = Literal["best", "last"]

LONGEST_SRC = "longest_src"
"""Value of checkpoints: pieces of the longest source of training."""


class Chosen(TypedDict):
    """Which weights to use besides those of a run, and where.

    Attributes:
        ensemble: runs that predict together with it.
        weights: of the run and of these, by which they count; by default all alike.
        device: name of the device; by default that of the run's recipe.
        checkpoint: the weights to use, of all runs.
    """

    ensemble: Sequence[str | Path]
    weights: Sequence[float] | None
    device: str | None
    checkpoint: CheckpointName


FREE_KEYS = (
    "name",
    "device",
    "output_dir",
    "data.num_workers",
    "data.test",
    "data.script",
    "decoding",
    "evaluation",
    "training.max_epochs",
    "training.max_updates",
    "training.max_minutes",
    "training.early_stopping_patience",
    "training.save_every",
    "training.log_every",
    "training.tensorboard",
)
"""What may change when a run is started again: how long it trains, and what has no part in the
weights; `train` refuses those of them that scores in training depend on."""


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
    def tensorboard(self) -> Path:
        """Folder of the records for TensorBoard."""
        return self.path / "tensorboard"

    @property
    def data(self) -> Path:
        """Folder of the encoded pairs."""
        return self.path / "data"

    @property
    def lexicon_file(self) -> Path:
        """What source pieces translate to, if search has asked; goes with the training pairs."""
        return self.data / "train" / "lexicon.safetensors"

    @property
    def tokenizer(self) -> Path:
        """Folder of the tokenizers."""
        return self.path / "tokenizer"

    @property
    def evaluation(self) -> Path:
        """Folder of the translated test sets and their scores."""
        return self.path / "evaluation"

    def hypotheses(self, test: str) -> Path:
        """File with the translations of a test set."""
        return self.evaluation / f"{test}.hyp"

    def checkpoint(self, name: CheckpointName) -> Path:
        """File of a checkpoint."""
        return self.path / "checkpoints" / f"{name}.safetensors"

    def existing_checkpoint(self, name: CheckpointName) -> Path:
        """File of a checkpoint, or of the one before it where only that is left.

        Raises:
            RunError: there is none yet.
        """
        path = self.checkpoint(name)
        for found in (path, previous_path(path)):
            if found.exists():
                return found
        raise RunError(f"{path}: no checkpoint yet; train the run first")

    def kept_checkpoint(self, update: int) -> Path:
        """File of one of the validated checkpoints, where several are kept."""
        return self.path / "checkpoints" / f"update-{update}.safetensors"

    def kept_checkpoints(self) -> list[Path]:
        """The files of this kind that exist."""
        return sorted((self.path / "checkpoints").glob("update-*.safetensors"))

    def drop_partial_checkpoints(self) -> None:
        """Remove what a process left behind that was killed while it saved."""
        for path in (self.path / "checkpoints").glob(".*"):
            with told(path, "written"):
                path.unlink()

    @property
    def is_trained(self) -> bool:
        """Whether there are checkpoints, so that recipe, tokenizer and data must stay."""
        return any((self.path / "checkpoints").glob("*.safetensors"))

    @contextmanager
    def locked(self, folder: Path | None = None) -> Iterator[None]:
        """Keep other processes from writing into the run directory, or a folder of it, meanwhile.

        Raises:
            FileError: another process does so.
        """
        folder = folder or self.path
        with told(folder, "written"):
            folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            yield

    def claim(self, recipe: Recipe, reasons: Mapping[str, str] | None = None) -> None:
        """Make the run directory this recipe's, or see that it is: then it stays as it is.

        Args:
            recipe: With nothing left to choose.
            reasons: Why values were chosen that nobody gave, by dotted key.

        Raises:
            RunError: it has checkpoints of another recipe, or of an unknown one.
        """
        if self.is_trained and not self.recipe_file.exists():
            raise RunError(
                f"{self.path}: has checkpoints but no recipe.yaml, so nobody knows of what; "
                "take the file back, or give another output_dir to train anew"
            )
        if self.is_trained:
            self.refuse(
                key
                for key in changed_keys(self.load_recipe(), recipe)
                if not any(key == free or key.startswith(f"{free}.") for free in FREE_KEYS)
            )
        else:
            self.write_recipe(recipe, reasons)

    def refuse(self, changed: Iterable[str]) -> None:
        """See that no keys of the recipe have changed.

        Raises:
            RunError: some have.
        """
        if keys := ", ".join(changed):
            raise RunError(
                f"{self.path}: was trained with other values of {keys}; "
                "take them back, or give another output_dir to train anew"
            )

    def write_recipe(self, recipe: Recipe, reasons: Mapping[str, str] | None = None) -> None:
        """Note a recipe that the run directory is claimed for, with reasons as there."""
        text = dump_saved(recipe, reasons)
        if not self.recipe_file.exists() or self.recipe_file.read_text(encoding="utf-8") != text:
            self.path.mkdir(parents=True, exist_ok=True)
            write_text(self.recipe_file, text)

    def load_recipe(self) -> Recipe:
        """The recipe of the run.

        Raises:
            RunError: this is no run directory.
            SettingsError: its recipe is wrong or cut off.
        """
        if not self.recipe_file.exists():
            raise RunError(
                f"{self.path}: no run directory (it has no recipe.yaml); name one that "
                "'seq2seq run' or 'seq2seq train' made"
            )
        return load_saved(self.recipe_file)

    def check_direction(self, place: str, src: str | None, tgt: str | None) -> None:
        """See that the run, which a recipe names, doesn't translate in the opposite direction.

        Only that: others may call the languages by other names.

        Args:
            place: key of the recipe.
            src: language that it is to translate from.
            tgt: language that it is to translate into.

        Raises:
            RunError: it does.
        """
        data = self.load_recipe().data
        if (data.src, data.tgt) == (tgt, src) != (src, tgt):
            raise RunError(
                f"{place}: {self.path} translates from {tgt} into {src}; name a run that does "
                f"from {src} into {tgt}"
            )

    def load_tokenizers(self) -> Tokenizers:
        """The tokenizers of the run.

        Raises:
            DataError: there are none, or they aren't those that were saved.
        """
        if (damaged := damaged_file(self.tokenizer)) is not None:
            raise DataError(
                f"{damaged}: is missing or damaged; seq2seq prepare makes it again from the recipe"
            )
        return load_tokenizers(self.tokenizer).directed(self.load_recipe().data)

    def load_checkpoint(self, name: CheckpointName) -> "Checkpoint":
        """A checkpoint, or the one before it where it is missing or damaged.

        Raises:
            RunError: there is neither, or what there is is damaged.
        """
        from seq2seq.checkpoint import load_last

        self.existing_checkpoint(name)
        saved = load_last(self.checkpoint(name))
        assert saved is not None
        return saved

    def build_model(self, tokenizers: Tokenizers, saved: "Checkpoint") -> "Seq2Seq":
        """The trained network of a checkpoint, ready to translate.

        Raises:
            RunError: its weights don't fit recipe and tokenizers.
        """
        from seq2seq.checkpoint import load_weights
        from seq2seq.model.seq2seq import Seq2Seq

        model = Seq2Seq(self.load_recipe().model, len(tokenizers.src), len(tokenizers.tgt))
        load_weights(model, saved.part("average") or saved.part("model"))
        return model.eval()

    def longest_source(self, saved: "Checkpoint") -> int:
        """Pieces of a source, at most, that a checkpoint knows from training, end mark not counted.

        Runs of earlier versions don't say; their recipe does what it would be at most.
        """
        return int(saved.values.get(LONGEST_SRC, self.load_recipe().data.max_length))


def digest_language_model(decoding: Decoding) -> str | None:
    """Of the weights that search is to use, if there are any."""
    if decoding.language_model is None:
        return None
    return digest(Run(Path(decoding.language_model)).existing_checkpoint("best"))
