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

    split_long: bool = True
    """Translate a line with more pieces than `data.max_length` in parts, as the network has seen
    none that long: cut at the ends of sentences, else after clauses, else between words."""

    split_sentences: bool = False
    """Translate each sentence of a line by itself, for text that has a paragraph on each line."""

    mbr: Literal["bleu", "chrf"] | None = None
    """Take of `beam_size` translations not the most probable one but the one that scores best
    against all of them as references, by their probabilities (minimum Bayes risk, Kumar & Byrne
    2004); `score` is its expected score. Try `chrf` with a beam of 20. `null`: off."""

    replace_unk: bool = False
    """Replace each `<unk>` by the source piece that the network attends to most when it says so
    (Luong et al. 2015), such as a name in a word-level model. Needs `ban_unk: false`."""

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
