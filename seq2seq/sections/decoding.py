"""Search and scores."""

from typing import Literal

from pydantic import Field

from seq2seq.settings import Section


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

    precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    """Arithmetic of the decoder's matrix products on a CPU, weights and all. `bfloat16` takes half
    the time of `float32`, `int8` (each row of weights and of inputs in 255 levels) a quarter; what
    the machine has no fast instructions for falls back to `float32`. `auto`: bfloat16 where it is
    fast, otherwise int8. Results differ in single sentences: on the development sets of seven
    trained models BLEU moved by at most 0.08 in bfloat16 and 0.06 in int8."""

    shortlist: int = Field(default=0, ge=0, le=50)
    """Look only at so many target pieces for each source piece, besides the 1,000 most frequent
    ones and, with a joint vocabulary, the source's own (Jean et al. 2015, section 4.1). Which ones
    is learnt from the training pairs (IBM Model 1), once per run. 20 makes search half as fast
    again, or more with large vocabularies, and leaves BLEU as it is; 0 looks at all."""

    batch_size: int = Field(default=512, ge=1)
    """Sentences searched at a time, if their hypotheses are no more than 1,024; a matter of speed
    and memory only."""


Metric = Literal["bleu", "chrf", "chrf++", "ter", "accuracy", "wer", "cer"]


class Evaluation(Section):
    """Scores of the test sets."""

    metrics: tuple[Metric, ...] = Field(default=("bleu", "chrf"), min_length=1)
    """What to report. `bleu`, `chrf`, `chrf++` (Popović 2017) and `ter` are sacreBLEU's. `accuracy`
    is the share of lines equal to their reference; 100 minus that is called word error rate where a
    line is a word, as in pronunciation and inflection. `wer` and `cer` are words and characters to
    insert, delete or replace, per word or character of the reference: `wer` is the phoneme error
    rate where phonemes stand apart."""

    tokenize: Literal["13a", "none", "intl", "char", "zh", "ja-mecab", "ko-mecab"] = "13a"
    """Tokenisation of sacreBLEU's BLEU; `none` for text that is tokenised already."""

    lowercase: bool = False
    """Compare lower-cased text."""

    bootstrap: int = Field(default=1000, ge=0)
    """Resamples for the 95 % interval; 0 leaves it out."""
