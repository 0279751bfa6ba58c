"""Training."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from seq2seq.settings import Section
from seq2seq.sources import FROM_CORPUS

Beta = Annotated[float, Field(ge=0, lt=1)]


class Training(Section):
    """Teacher-forced training."""

    max_epochs: Annotated[int, FROM_CORPUS] = Field(default=30, ge=1)
    """Passes over the training data, at most."""

    max_updates: int | None = Field(default=None, ge=1)
    """Parameter updates, at most."""

    max_minutes: float | None = Field(default=None, gt=0)
    """Minutes of training, at most. A schedule with an end (cosine) reaches it by then."""

    batch_type: Literal["sentences", "tokens"] = "sentences"
    """What `batch_size` counts: pairs, or target tokens with their end marks and padding."""

    batch_size: Annotated[int, FROM_CORPUS] = Field(default=64, ge=1)
    """Size of a batch, in units of `batch_type`."""

    accumulate: int = Field(default=1, ge=1)
    """Batches per update. Gradients are summed and divided by all their tokens, so the update is
    that of one large batch."""

    optimizer: Literal["adam", "adamw", "sgd", "adadelta"] = "adam"
    """Update rule."""

    learning_rate: Annotated[float, FROM_CORPUS] = Field(default=1e-3, gt=0)
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

    src_word_dropout: Annotated[float, FROM_CORPUS] = Field(default=0.0, ge=0, lt=1)
    """Probability that the encoder reads a source piece as `<unk>` in training (word dropout, Gal &
    Ghahramani 2016). Against overfitting on small data, try 0.1 (Sennrich & Zhang 2019)."""

    tgt_word_dropout: Annotated[float, FROM_CORPUS] = Field(default=0.0, ge=0, lt=1)
    """Probability that the decoder reads a piece of its own translation as `<unk>` in training, so
    that it learns to look at the source instead (Bowman et al. 2016). What it has to say stays."""

    src_shuffle: int = Field(default=0, ge=0)
    """Shuffle the source pieces in training, each by at most so many places (Lample et al. 2018;
    try 3). For sources of free or unreliable order; 0 is off."""

    ema_decay: Annotated[float, FROM_CORPUS] = Field(default=0.0, ge=0, lt=1)
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
