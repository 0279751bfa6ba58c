"""The recipe: everything that configures a run, one key each.

A key is written once: its type, default, range and documentation stand together below, and the
error messages, `seq2seq recipe --explain`, the JSON schema and `recipes/REFERENCE.md` are all
derived from here. "Off" is always `null`, `0` or `false`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from seq2seq import settings
from seq2seq.conflicts import find_conflicts, find_missing_files
from seq2seq.settings import Section
from seq2seq.settings import changed_keys as changed_keys
from seq2seq.sources import Corpus as Corpus
from seq2seq.sources import CorpusList


class Data(Section):
    """The corpora and the limits that training pairs must keep to."""

    src: str = Field(min_length=1, examples=["en"])
    """Source language; also the file suffix or column of corpora that don't name theirs."""

    tgt: str = Field(min_length=1, examples=["de"])
    """Target language; also the file suffix or column of corpora that don't name theirs."""

    train: CorpusList = Field(min_length=1, examples=["data/train"])
    """Training corpora, read one after the other."""

    dev: CorpusList = Field(min_length=1, examples=["data/dev"])
    """Development corpora: validation and early stopping look at these, line by line unfiltered."""

    test: dict[str, CorpusList] = Field(default={})
    """Test sets by name; `evaluate` translates and scores each. Nothing else looks at them."""

    script: str | None = None
    """Python script that `prepare` runs, without arguments, when a file of the corpora is missing;
    it must write those files."""

    max_length: int = Field(default=250, ge=1)
    """Training pairs with more pieces than this on a side are dropped and counted."""

    max_ratio: float = Field(default=9.0, ge=1)
    """Training pairs whose longer side has more than this many times the pieces of the shorter
    one are dropped and counted."""


class Tokenizer(Section):
    """SentencePiece tokenisation, from raw text to raw text."""

    type: Literal["unigram", "bpe", "char", "word"] = "bpe"
    """Kind of SentencePiece model. `char` and `word` suit character tasks and pre-split symbols."""

    vocab_size: int = Field(default=8000, ge=8)
    """Number of pieces, the four special ones included. A corpus too small for it gets as many
    as it supports."""

    joint: bool = True
    """One model for both languages; `false` trains one each. Sharing suits related languages in
    one script and is what three-way tying needs."""

    lowercase: bool = False
    """Lower-case the text (and so the output)."""

    byte_fallback: bool = False
    """Spell characters outside the vocabulary in UTF-8 bytes instead of `<unk>`."""

    character_coverage: float = Field(default=1.0, gt=0.9, le=1)
    """Share of the training text's characters that get a piece; 0.9995 for large alphabets."""

    model: str | None = None
    """Existing SentencePiece model for both sides instead of training one."""

    src_model: str | None = None
    """Existing SentencePiece model for the source; needs `tgt_model` and `joint: false`."""

    tgt_model: str | None = None
    """Existing SentencePiece model for the target; needs `src_model` and `joint: false`."""

    sampling: float = Field(default=0.0, ge=0, le=1)
    """Segment training text anew in each epoch: for BPE the probability to skip a merge
    (BPE-dropout, Provilkov et al. 2020; try 0.1), for unigram the inverse temperature of sampling
    among the best segmentations (Kudo 2018; try 0.2). 0 is off."""


RnnType = Literal["gru", "lstm"]
AttentionType = Literal["bahdanau", "luong", "dot"]
Feeding = Literal["first_layer", "input"]


class Encoder(Section):
    """The recurrent encoder."""

    rnn_type: RnnType = "lstm"
    """Recurrent cell. LSTM layers run fused on CPUs, so there they are the faster ones."""

    embedding_dim: int = Field(default=256, ge=1)
    """Size of the source embeddings."""

    hidden_size: int = Field(default=256, ge=1)
    """Units of each layer, per direction."""

    num_layers: int = Field(default=1, ge=1)
    """Recurrent layers."""

    bidirectional: bool = True
    """Read the source in both directions."""


class Decoder(Section):
    """The recurrent decoder with its attention."""

    rnn_type: RnnType = "lstm"
    """Recurrent cell."""

    embedding_dim: int = Field(default=256, ge=1)
    """Size of the target embeddings."""

    hidden_size: int = Field(default=512, ge=1)
    """Units of each layer."""

    num_layers: int = Field(default=2, ge=1)
    """Recurrent layers."""

    attention: AttentionType | None = "luong"
    """How decoder states are compared with encoder states: additive (Bahdanau et al. 2015),
    `luong` for a learnt bilinear form ("general", Luong et al. 2015) or their plain `dot` product.
    `null`: no attention, the decoder knows the source by its initial state alone."""

    feeding: Feeding | None = "first_layer"
    """Where the attended source goes. `first_layer`: the first layer attends and the layers above
    read the result (GNMT, Wu et al. 2016); trains without a loop over time. `input`: the result
    joins the next step's input (Luong et al. 2015); several times slower. `null`: only into the
    output layer, and so without attention."""

    @model_validator(mode="before")
    @classmethod
    def _feed_nothing_without_attention(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("attention", "") is None:
            return {"feeding": None} | given
        return given


class Model(Section):
    """The encoder-decoder network."""

    encoder: Encoder = Encoder()
    """The encoder."""

    decoder: Decoder = Decoder()
    """The decoder."""

    bridge: Literal["dense", "copy"] | None = "dense"
    """How the encoder's final state becomes the decoder's first: through a learnt layer, as it is
    (sizes and depths must fit), or not at all (`null`)."""

    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Probability to drop a unit of the embeddings, between layers and before the output."""

    tied_embeddings: Literal["two_way", "three_way"] | None = None
    """Share weights: `two_way` target embedding and output layer, `three_way` the source
    embedding too (Press & Wolf 2017)."""


Beta = Annotated[float, Field(ge=0, lt=1)]


class Training(Section):
    """Teacher-forced training."""

    max_epochs: int = Field(default=30, ge=1)
    """Passes over the training data, at most."""

    max_updates: int | None = Field(default=None, ge=1)
    """Parameter updates, at most."""

    max_minutes: float | None = Field(default=None, gt=0)
    """Minutes of training, at most. A schedule with an end (cosine) reaches it by then."""

    batch_type: Literal["sentences", "tokens"] = "sentences"
    """What `batch_size` counts: pairs, or target tokens with their end marks and padding."""

    batch_size: int = Field(default=64, ge=1)
    """Size of a batch, in units of `batch_type`."""

    accumulate: int = Field(default=1, ge=1)
    """Batches per update. Gradients are summed and divided by all their tokens, so the update is
    that of one large batch."""

    optimizer: Literal["adam", "adamw", "sgd", "adadelta"] = "adam"
    """Update rule."""

    learning_rate: float = Field(default=1e-3, gt=0)
    """Highest learning rate; the schedule scales it."""

    weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay: decoupled for `adamw`, an L2 penalty otherwise."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the moment estimates of `adam` and `adamw`."""

    momentum: float = Field(default=0.0, ge=0, lt=1)
    """Momentum of `sgd`."""

    schedule: Literal["plateau", "exponential", "inverse_sqrt", "cosine"] | None = "cosine"
    """Learning rate after the warm-up: `plateau` multiplies it by `decay` when validation has not
    improved for `decay_patience` times, `exponential` multiplies by `decay` each epoch,
    `inverse_sqrt` falls with the square root of the updates, `cosine` falls to zero at the end of
    training; `null` stays."""

    warmup_updates: int = Field(default=0, ge=0)
    """Updates in which the learning rate rises linearly from zero."""

    decay: float = Field(default=0.5, gt=0, lt=1)
    """Factor of the `plateau` and `exponential` schedules."""

    decay_patience: int = Field(default=2, ge=0)
    """Validations without improvement that `plateau` waits for."""

    min_learning_rate: float = Field(default=0.0, ge=0)
    """Schedules never go below this."""

    clip_grad_norm: float | None = Field(default=1.0, gt=0)
    """Scale gradients down to this global norm."""

    clip_grad_value: float | None = Field(default=None, gt=0)
    """Clip each gradient entry to this absolute value; instead of `clip_grad_norm`, which is off
    when this is given and it is not."""

    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Probability mass that the target spreads over the whole vocabulary (Szegedy et al. 2016)."""

    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Validate, save and translate with an exponential moving average of the weights that decays
    so much an update (0.999 averages the last thousand or so). 0 is off."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of training. `auto`: bfloat16 matrix products where the machine is fast at them,
    weights always stay float32."""

    validate_every: int | None = Field(default=None, ge=1)
    """Updates between validations. Default: once an epoch."""

    early_stopping_metric: Literal["loss", "perplexity", "bleu"] = "bleu"
    """Measure on the development set that picks the best checkpoint."""

    early_stopping_patience: int = Field(default=0, ge=0)
    """Stop after this many validations without improvement. 0: never."""

    save_every: int | None = Field(default=None, ge=1)
    """Updates between checkpoints to resume from, besides those made at each validation."""

    log_every: int = Field(default=50, ge=1)
    """Updates between lines of `metrics.jsonl`."""

    @model_validator(mode="before")
    @classmethod
    def _clip_one_way(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("clip_grad_value") is not None:
            return {"clip_grad_norm": None} | given
        return given


class Decoding(Section):
    """Search for translations."""

    beam_size: int = Field(default=5, ge=1)
    """Hypotheses kept per sentence; 1 is greedy search."""

    n_best: int = Field(default=1, ge=1)
    """Translations to return per sentence; at most `beam_size`."""

    length_penalty: float = Field(default=1.0, ge=0)
    """Exponent of the length normalisation of Wu et al. (2016), equation 14; 0 is off."""

    min_length: int = Field(default=0, ge=0)
    """Fewest pieces of a translation, its end mark not counted."""

    max_length: int | None = Field(default=None, ge=1)
    """Most pieces of a translation, its end mark counted. Default: three times the source's plus
    30, at most 1,000."""

    ban_unk: bool = True
    """Never produce `<unk>`."""

    no_repeat_ngram: int = Field(default=0, ge=0)
    """Never produce the same n pieces in a row twice in a translation; 0 is off."""

    batch_size: int = Field(default=512, ge=1)
    """Sentences searched at a time, if their hypotheses are no more than 1,024; a matter of speed
    and memory only."""


Metric = Literal["bleu", "chrf", "ter", "accuracy"]


class Evaluation(Section):
    """Scores of the test sets."""

    metrics: tuple[Metric, ...] = Field(default=("bleu", "chrf"), min_length=1)
    """What to report. `accuracy` is the share of lines equal to their reference; word error rate
    in pronunciation and inflection tasks is 100 minus that."""

    tokenize: Literal["13a", "none", "intl", "char", "zh", "ja-mecab", "ko-mecab"] = "13a"
    """Tokenisation of sacreBLEU's BLEU; `none` for text that is tokenised already."""

    lowercase: bool = False
    """Compare lower-cased text."""

    bootstrap: int = Field(default=1000, ge=0)
    """Resamples for the 95 % interval; 0 leaves it out."""


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


def dump_recipe(recipe: Recipe) -> str:
    """The complete recipe as YAML, defaults included; loading it gives the same recipe."""
    return settings.dump(recipe)
