"""Search and scores."""

from typing import Annotated, Literal

from pydantic import Field

from seq2seq.sections.sources import FROM_CORPUS
from seq2seq.settings import Section


class Decoding(Section):
    """Search for translations."""

    beam_size: int = Field(default=5, ge=1)
    """Hypotheses kept per sentence; 1 is greedy search."""

    n_best: int = Field(default=1, ge=1)
    """Translations to return per sentence; at most `beam_size` unless they are samples."""

    length_penalty: float = Field(default=1.0, ge=0, le=10)
    """Strength of the length penalty; 0 is off."""

    length_penalty_type: Literal["gnmt", "average", "reward"] = "gnmt"
    """How longer translations, which are less likely, stand a chance: the log-probability is
    divided by ((5 + pieces) / 6)^`length_penalty` (`gnmt`, Wu et al. 2016, equation 14) or by
    pieces^`length_penalty` (`average`: at 1 the mean), or gets `length_penalty` for each piece
    (`reward`, He et al. 2016; try 0.3)."""

    coverage_penalty: float = Field(default=0.0, ge=0)
    """Strength of the coverage penalty (beta of Wu et al. 2016, equation 14): translations lose
    what the attention has left of the source; try 0.2 where parts are left out. Slower; 0 is
    off."""

    early_stopping: Literal["so_far", "never", "first"] = "so_far"
    """When a sentence is done. `so_far`: `beam_size` translations have ended and none that goes
    on has a better score so far than the best; `first`: as soon as `beam_size` have ended, a little
    faster; `never`: when none that goes on could become the best within the longest length, which
    takes much longer."""

    min_length: int = Field(default=0, ge=0, lt=2**31)
    """Fewest pieces of a translation, its end mark not counted."""

    max_length: int | None = Field(default=None, ge=1, lt=2**31)
    """Most pieces of a translation, its end mark counted. Default: three times the source's plus
    30, at most 1,000."""

    min_length_ratio: float = Field(default=0.0, ge=0)
    """Fewest pieces of a translation for each piece of the source; 0 is off."""

    max_length_ratio: float | None = Field(default=None, gt=0)
    """Most pieces of a translation for each piece of the source, the end marks counted."""

    ban_unk: Annotated[bool, FROM_CORPUS] = True
    """Never produce `<unk>`."""

    no_repeat_ngram: int = Field(default=0, ge=0)
    """Never produce the same n pieces in a row twice in a translation; 0 is off."""

    precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    """Arithmetic of the matrix products on a CPU, weights and all. `bfloat16` takes half
    the time of `float32`, `int8` (each row of weights and of inputs in 255 levels) a quarter, or
    half where the CPU has AVX2 alone (weights in 127 levels there); what the machine has no fast
    instructions for falls back to `float32`. `auto`: int8 where it is fast, otherwise float32.
    Results differ in single sentences: on the development sets of seven trained models BLEU moved
    by at most 0.08 in bfloat16 and 0.06 in int8 of 255 levels, encoders being in float32 then; now
    they are in bfloat16 with both, where that is fast."""

    shortlist: int = Field(default=0, ge=0, le=50)
    """Look only at so many target pieces for each source piece, besides the 1,000 most frequent
    ones and, with a joint vocabulary, the source's own (Jean et al. 2015, section 4.1). Which ones
    is learnt from the training pairs (IBM Model 1), once per run. 20 makes search half as fast
    again, or more with large vocabularies, and leaves BLEU as it is; 0 looks at all."""

    max_repeats: int = Field(default=0, ge=0)
    """Never produce the same piece, or the same up to ten pieces, more than so many times in a row:
    a guard against loops that leaves other repetition alone; try 3. 0 is off."""

    banned_phrases: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Words or phrases that are never produced: no translation has them as whole words."""

    glossary: str | None = None
    """TSV file: where the source has the phrase in the first column, as whole words, so has the
    translation the one in the second (dynamic beam allocation, Post & Vilar 2018). Better with a
    larger beam."""

    diversity_groups: int = Field(default=1, ge=1)
    """Groups of hypotheses that avoid each other's words, for n-best lists that differ (diverse
    beam search, Vijayakumar et al. 2016). Must divide `beam_size`; 1 is off."""

    diversity_strength: float = Field(default=0.5, ge=0)
    """What a piece loses in later groups each time that an earlier one says it at the same step."""

    sampling: bool = False
    """Draw `n_best` translations by the model's probabilities instead of searching for the best,
    each a function of the sentence, `sampling_seed` and its number."""

    sampling_seed: int = Field(default=1, ge=0, lt=2**31)
    """Seed of samples."""

    temperature: float = Field(default=1.0, gt=0)
    """Samples: below 1 likely pieces become likelier, above 1 all more alike."""

    top_k: int = Field(default=0, ge=0)
    """Samples: draw from this many likeliest pieces (Fan et al. 2018); 0 is off."""

    top_p: float = Field(default=1.0, gt=0, le=1)
    """Samples: draw from the likeliest pieces that have this probability together (nucleus
    sampling, Holtzman et al. 2020); 1 is off."""

    split_long: bool = True
    """Translate a line with more pieces than the longest of training and half as many again in
    parts: cut at the ends of sentences, else after clauses, else between words."""

    split_sentences: bool = False
    """Translate each sentence of a line by itself, for text that has a paragraph on each line."""

    mbr: Literal["bleu", "chrf"] | None = None
    """Take of `beam_size` translations not the most probable one but the one that scores best
    against all of them as references, by their probabilities (minimum Bayes risk, Kumar & Byrne
    2004); `score` is its expected score. Try `chrf` with a beam of 20. `null`: off."""

    language_model: str | None = None
    """Run directory of a language model (`model.type`) whose log-probability of the next piece,
    times `language_model_weight`, joins that of the translation model at each step (shallow fusion,
    Gulcehre et al. 2015). Its pieces must be those of the target: train it with the translation
    run's tokenizer. Helps where there is much text of the target language and few pairs. Scores are
    those of both together. `null`: none."""

    language_model_weight: float = Field(default=0.2, ge=0)
    """How much the language model counts; choose it on the development set, from 0.05 to 0.5."""

    replace_unk: Annotated[bool, FROM_CORPUS] = False
    """Replace each `<unk>` by the source piece that the network attends to most when it says so
    (Luong et al. 2015), such as a name in a word-level model, or a letter that training never saw
    in one that copies. Needs `ban_unk: false`."""

    batch_size: int = Field(default=512, ge=1)
    """Sentences searched at a time, if their hypotheses are no more than 1,024; a matter of speed
    and memory only."""


Tokenization = Literal["13a", "none", "intl", "char", "zh", "ja-mecab", "ko-mecab"]
Metric = Literal["bleu", "chrf", "chrf++", "ter", "accuracy", "wer", "cer"]


class Evaluation(Section):
    """Scores of the test sets."""

    metrics: Annotated[tuple[Metric, ...], FROM_CORPUS] = Field(
        default=("bleu", "chrf"), min_length=1
    )
    """What to report. `bleu`, `chrf`, `chrf++` (Popović 2017) and `ter` are sacreBLEU's. `accuracy`
    is the share of lines equal to their reference; 100 minus that is called word error rate where a
    line is a word, as in pronunciation and inflection. `wer` and `cer` are words and characters to
    insert, delete or replace, per word or character of the reference: `wer` is the phoneme error
    rate where phonemes stand apart."""

    tokenize: Annotated[Tokenization, FROM_CORPUS] = "13a"
    """Tokenisation of sacreBLEU's BLEU; `none` for text that is tokenised already. `13a` and `intl`
    find words between spaces: for targets written without spaces `zh` (Chinese) or `char` is
    chosen. `ja-mecab` and `ko-mecab` find Japanese and Korean words, with packages of their own
    (`pip install 'sacrebleu[ja,ko]'`). Scores of the development set in training, and those of
    `minimum_risk`, go by it too."""

    lowercase: bool = False
    """Compare lower-cased text."""

    bootstrap: int = Field(default=1000, ge=0)
    """Resamples for the 95 % interval; 0 leaves it out."""
