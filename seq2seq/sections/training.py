"""Training."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from seq2seq.keys import Form
from seq2seq.sections.decoding import Metric
from seq2seq.sections.sources import FROM_CORPUS
from seq2seq.settings import Section

Beta = Annotated[float, Field(ge=0, lt=1)]

AUTO: Any = "auto"
"""A batch size that is to be found."""


def _or_auto(value: Any, number: ValidatorFunctionWrapHandler) -> Any:
    return AUTO if value == AUTO else number(value)


BatchSize = Annotated[
    int,
    Field(ge=1),
    WrapValidator(_or_auto, json_schema_input_type=Annotated[int, Field(ge=1)] | Literal["auto"]),
    Form("a whole number or auto"),
]
"""A number, from when a run is prepared on."""


class Training(Section):
    """The objective and its optimisation."""

    objective: Literal["cross_entropy", "minimum_risk"] = "cross_entropy"
    """What to minimise. `cross_entropy`: the negative log-likelihood of the references.
    `minimum_risk`: the expected loss of quality among translations that the model samples (Shen et
    al. 2016); it gains for a model that is trained already, with a small learning rate, and takes
    `risk_samples` times the memory and more of the time. Its `loss` in the records is that
    expectation, from 0 to 1; label smoothing has no part in it."""

    risk_metric: Literal["bleu", "chrf"] = "bleu"
    """Quality of a sentence for `minimum_risk`: smoothed BLEU or chrF."""

    risk_samples: int = Field(default=20, ge=1)
    """Translations that `minimum_risk` samples for a sentence, besides the reference; more are
    better (Shen et al. took 100)."""

    risk_reference: bool = True
    """Let `minimum_risk` choose the reference as well (Shen et al. 2016). `false`: samples alone,
    which keeps the expectation to what the model says itself; for references that it never would,
    and many samples (Edunov et al. 2018, "Classical structured prediction losses")."""

    risk_sharpness: float = Field(default=0.005, gt=0)
    """Exponent of the probabilities of whole translations by which `minimum_risk` expects (alpha
    of Shen et al. 2016): near 0 all samples count alike, at 1 the likeliest one alone."""

    init_from: str | None = None
    """Run directory whose best weights training begins with (fine-tuning). Its tokenizer is used
    too, so of `tokenizer` only `sampling` counts; `model` must have the sizes of that run."""

    max_epochs: Annotated[int, FROM_CORPUS] = Field(default=30, ge=1)
    """Passes over the training data, at most. This and the other limits of how long to train may
    change when a run is started again: with more than before it goes on, also if it had finished.
    A schedule that ends with training (cosine) follows the new end, as if it had been known from
    the start, so the learning rate rises again at first."""

    updates_per_epoch: Annotated[int | None, FROM_CORPUS] = Field(default=None, ge=1)
    """Updates that count as an epoch where `data.streaming` has no end to tell one by: validations,
    schedules and `max_epochs` go by it. Without streaming an epoch is a pass over the pairs."""

    max_updates: int | None = Field(default=None, ge=1)
    """Parameter updates, at most."""

    max_minutes: float | None = Field(default=None, gt=0)
    """Minutes of training, at most. A schedule with an end (cosine) reaches it by then."""

    batch_type: Literal["sentences", "tokens"] = "sentences"
    """What `batch_size` counts: pairs, or target tokens with their end marks and padding."""

    batch_size: Annotated[BatchSize, FROM_CORPUS] = 64
    """Size of a batch, in units of `batch_type`. `auto`, for speed on a GPU: the choice from the
    corpus is doubled while the largest batch takes at most 80 % of the memory of a CUDA device and
    an epoch keeps a hundred updates; elsewhere it stays, as larger batches gain little there. It is
    found once, when a run begins, and saved in its recipe. Updates become fewer with the root of
    what they grow by, if `max_epochs` isn't given; the learning rate stays."""

    accumulate: int = Field(default=1, ge=1)
    """Batches per update. Gradients are summed and divided by all their tokens, so the update is
    that of one large batch."""

    optimizer: Literal["adam", "adamw", "radam", "nadam", "adamax", "sgd", "adadelta"] = "adam"
    """Update rule: `adam` (Kingma & Ba 2015), with decoupled weight decay `adamw` (Loshchilov &
    Hutter 2019), `radam` that needs no warm-up (Liu et al. 2020) and `nadam` with Nesterov's
    momentum (Dozat 2016); `adamax` scales by the largest gradients (Kingma & Ba 2015, section
    7.1), `adadelta` (Zeiler 2012) sets steps itself and wants a learning rate near 1."""

    learning_rate: Annotated[float, FROM_CORPUS] = Field(default=1e-3, gt=0)
    """Highest learning rate; the schedule scales it."""

    weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay of matrices, embeddings among them; biases and gains don't decay. Decoupled for
    `adamw`, `radam` and `nadam` (0.01 is usual), an L2 penalty otherwise (1e-5)."""

    l1: float = Field(default=0.0, ge=0)
    """L1 penalty on matrices, for weights that are exactly zero: after each update all their
    entries move towards zero by this times the learning rate, but not beyond (the proximal step,
    decoupled from the update rule as `adamw`'s decay is). The steps of `adam` are about as large as
    the learning rate whatever the gradients, and this is a share of them: try 0.1, as far smaller
    ones make no zeros. 0 is off. Averages of weights have few zeros left, so `ema_decay` is then
    chosen to be 0."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the moment estimates of the Adam family."""

    eps: float | None = Field(default=None, gt=0)
    """What the Adam family and `adadelta` add to the root that they divide by; larger values tame
    the steps of rarely used weights. Default: 1e-8, for `adadelta` 1e-6."""

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

    reload_best: bool = False
    """When `plateau` lowers the learning rate, go on from the best weights so far and with fresh
    moments of the update rule ("annealing with restarts", Denkowski & Neubig 2017: `adam`,
    `decay: 0.5`)."""

    min_learning_rate: float = Field(default=0.0, ge=0)
    """Schedules never go below this."""

    truncate: int | None = Field(default=None, ge=1)
    """Cut the decoder's gradient in time after each so many target tokens (truncated
    back-propagation, Williams & Peng 1990), for targets so long that it explodes or vanishes on
    the way. The loss stays what it is, and through attention the source gets its gradient from
    all tokens."""

    clip_grad_norm: float | None = Field(default=1.0, gt=0)
    """Scale gradients down to this global norm."""

    clip_grad_value: float | None = Field(default=None, gt=0)
    """Clip each gradient entry to this absolute value; instead of `clip_grad_norm`, which is off
    when this is given and it is not."""

    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Probability mass that the target spreads over the whole vocabulary (Szegedy et al. 2016)."""

    r_drop: float = Field(default=0.0, ge=0)
    """R-Drop (Liang et al. 2021): each batch passes twice, other units dropped, and this much
    (the paper's alpha, 5 for translation) of the divergence between the two predictions joins
    the loss. Gains on small and medium data, at twice the time an update. 0 is off."""

    teacher_forcing: float = Field(default=1.0, ge=0, le=1)
    """Probability that the decoder reads the reference's token instead of the model's own
    prediction, in the end ("scheduled sampling", Bengio et al. 2015). Predictions come from one
    pass over the reference (Mihaylova & Martins 2019; Duckworth et al. 2019): no loop over time,
    about a fifth more time an update. 1 is off."""

    teacher_forcing_decay: Literal["linear", "exponential", "inverse_sigmoid"] | None = None
    """How that probability falls from 1, when u is the update over `teacher_forcing_updates`: by
    1 - u, exp(-5 u) or 1 / (1 + exp(12 u - 6)), Bengio et al. (2015), section 2.4. `null`: it is
    what `teacher_forcing` says from the first update on, for models that are trained already."""

    teacher_forcing_updates: int = Field(default=10000, ge=1)
    """Updates in which `teacher_forcing_decay` comes to its end."""

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

    keep_best: int = Field(default=1, ge=1)
    """Checkpoints to keep, the best ones on the development set by `early_stopping_metric`; for
    `average_best` and `seq2seq average`."""

    average_best: bool = False
    """When training ends, average the weights of the `keep_best` checkpoints, one like the other
    (Junczys-Dowmunt et al. 2016), and use the result if it is better on the development set than
    the best of them. Tends to gain where the learning rate is still high in the end; with
    `ema_decay` or a schedule down to zero there is little left to gain."""

    average_last: int | None = Field(default=None, ge=2)
    """When training ends, average the weights of so many last validated checkpoints (Vaswani et al.
    2017 took 5), and use the result if it is better on the development set than the best so far.
    It smooths out the noise of the last updates where these are close together, as with
    `validate_every`; otherwise as `average_best`."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Arithmetic of training. `auto`: bfloat16 matrix products where the machine is fast at them,
    weights always stay float32. `float16`, for GPUs that don't know bfloat16: the loss is scaled so
    that small gradients don't vanish (Micikevicius et al. 2018), and updates whose gradients
    overflow are left out."""

    deterministic: bool = False
    """Choose kernels that give the same bits each time, where others are faster: for GPUs, on which
    two trainings with one seed otherwise differ a little. A model with a part that has no such
    kernel stops with an error that names it."""

    validate_every: Annotated[int | None, FROM_CORPUS] = Field(default=None, ge=1)
    """Updates between validations; `null` is once an epoch. Each of them writes a checkpoint and
    translates all of the development set, about as long a work as training on as many pairs."""

    early_stopping_metric: Annotated[Literal["loss", "perplexity", Metric], FROM_CORPUS] = "bleu"
    """Measure on the development set that picks the best checkpoint; of equal ones the lower loss
    decides. `accuracy`, the share of outputs without a fault, suits character tasks. Language
    models have `loss` (the default there) and `perplexity` only."""

    early_stopping_patience: int = Field(default=0, ge=0)
    """Stop after this many validations without improvement. 0: never."""

    save_every: int | None = Field(default=None, ge=1)
    """Updates between checkpoints to resume from, besides those made at each validation."""

    log_every: int = Field(default=50, ge=1)
    """Updates between lines of `metrics.jsonl`."""

    tensorboard: bool = False
    """Write the records of `metrics.jsonl` for TensorBoard too, into `tensorboard` in the run
    directory; `tensorboard --logdir runs` shows them. Needs the package (`pip install
    'seq2seq[tensorboard]'`)."""

    @model_validator(mode="before")
    @classmethod
    def _clip_one_way(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("clip_grad_value") is not None:
            return {"clip_grad_norm": None} | given
        return given
