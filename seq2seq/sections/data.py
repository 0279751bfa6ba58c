"""Corpora and tokenisation."""

from typing import Annotated, Literal

from pydantic import Field

from seq2seq.sections.sources import FROM_CORPUS, CorpusList, PathList
from seq2seq.settings import Section

Weight = Annotated[float, Field(gt=0)]


class Distillation(Section):
    """Training on what trained runs make of the source (Kim & Rush 2016).

    Translations are simpler and more regular than what people write, so that a small network
    learns them better; those of an ensemble teach it most of what the ensemble knows.
    """

    runs: PathList | None = Field(default=None, min_length=1)
    """Run directories that translate the source side of `train` (sequence-level knowledge
    distillation, Kim & Rush 2016). Several translate as an ensemble, for which they must share
    their target vocabulary; the tokenizer of this run, still trained on `train` alone, may be
    another. `null`: off."""

    beam_size: int = Field(default=5, ge=1)
    """Hypotheses kept per sentence; all other search settings are those of the first run."""

    keep_original: bool = True
    """Train on the original pairs too; `false` trains on the translations alone."""


class BackTranslation(Section):
    """Training on text of the target language that has no source (Sennrich et al. 2016)."""

    runs: PathList | None = Field(default=None, min_length=1)
    """Run directory that translates `text` from `data.tgt` into `data.src`; the result joins the
    training pairs (back-translation, Sennrich et al. 2016). Several are an ensemble. The tokenizer
    is still trained on `train` alone. `null`: off."""

    text: PathList | None = Field(default=None, min_length=1)
    """Files with sentences of the target language, one a line (`.gz` allowed)."""

    beam_size: int = Field(default=5, ge=1)
    """Hypotheses kept per sentence; all other search settings are those of the first run."""

    sampling: bool = False
    """Draw each translation from the probabilities of the runs, a function of `seed` and the
    sentence, instead of searching for the best, so that sources are as varied as people's (Edunov
    et al. 2018). Better where there is much text and the runs are good; with few pairs, or poor
    runs, search is. `beam_size` has no part then, `temperature`, `top_k` and `top_p` are those of
    the first run."""

    tag: str | None = Field(default=None, min_length=1)
    """Word to put before each of these source sentences, such as `<BT>`, so that the network can
    tell them from those that people wrote (Caswell et al. 2019). `null`: none."""


class Data(Section):
    """The corpora and the limits that training pairs must keep to."""

    src: str | None = Field(default=None, min_length=1, examples=["en"])
    """Source language; also the file suffix or column of corpora that don't name theirs. `null`:
    there is none, a language model reads text of `tgt` alone."""

    tgt: str = Field(min_length=1, examples=["de"])
    """Target language; also the file suffix or column of corpora that don't name theirs."""

    train: CorpusList = Field(min_length=1, examples=["data/train"])
    """Training corpora, read one after the other."""

    streaming: bool = False
    """Read, clean and encode training pairs as they come, a chunk at a time, and keep none of them
    on disk: for corpora that are too large to be encoded first, or that `datasets` gives without a
    local copy (`hub:`). The stream begins anew when it has ended. Corpora take turns until each has
    ended; with `weights` they are drawn from by weight, and one that ends begins anew at once. An
    epoch is `training.updates_per_epoch`; tokenizers and defaults come from the first 1,000,000
    pairs. A run goes on at its place in the stream and reads one chunk again (a `.gz` file is
    unpacked up to there, a shard of `datasets` skipped). Files are known by size, beginning and end
    alone. Of several processes each reads the whole stream."""

    shuffle_buffer: int = Field(default=100_000, ge=1)
    """Pairs of a chunk of `streaming`, which are shuffled and batched by length among themselves.
    Larger ones shuffle better and pad less; one that holds the corpus makes each pass what an epoch
    is without streaming. Two chunks are in memory, the one in use and the next: 100 bytes in each
    for a pair of 15 words a side, 250 with `tokenizer.sampling`, so 20 or 50 MB for both."""

    weights: tuple[Weight, ...] | None = Field(default=None, examples=[[2, 1]])
    """How often to draw from each corpus of `train`, in proportion; synthetic pairs (distilled,
    then back-translated ones) are further corpora. An epoch still has as many pairs as there are,
    but more of one corpus and fewer of another; of a corpus all pairs come before any comes again.
    For a small corpus of the domain that counts beside a large one. `null`: each pair once."""

    temperature: float | None = Field(default=None, ge=1)
    """Weights from the sizes of the corpora: a share s becomes s to the power of 1/temperature
    (Arivazhagan et al. 2019, who take 5). 1 is each pair once, large values draw from all corpora
    alike. Instead of `weights`; `null`: off."""

    dev: CorpusList = Field(min_length=1, examples=["data/dev"])
    """Development corpora: validation and early stopping look at these, line by line unfiltered."""

    test: dict[str, CorpusList] = Field(default={})
    """Test sets by name; `evaluate` translates and scores each. Nothing else looks at them."""

    script: str | None = None
    """Python script that `prepare` runs, without arguments, when a file of the corpora is missing;
    it must write those files."""

    distillation: Distillation = Distillation()
    """Training pairs whose target is a translation of their source."""

    back_translation: BackTranslation = BackTranslation()
    """Training pairs whose source is a translation of their target."""

    reverse_src: bool = False
    """Give the network the source from its end. Helps where there is no attention (Sutskever et al.
    2014) or the encoder reads in one direction."""

    reverse_tgt: bool = False
    """Translate from the end of the target to its beginning; texts are turned back. Such a model
    errs elsewhere than others, and so it is a good partner for them (Liu et al. 2016)."""

    num_workers: int | None = Field(default=None, ge=1)
    """Processes that encode the training text; what they make is the same however many there are.
    Each takes 100 MB. Default: one for each core, at most 8; for fewer than 200,000 pairs one. With
    `streaming` one is a thread of training itself, which is the default, and enough but for GPUs
    that train on some ten thousand pairs a second."""

    max_length: int = Field(default=250, ge=1)
    """Training pairs with more pieces than this on a side are dropped and counted."""

    max_ratio: float = Field(default=9.0, ge=1)
    """Training pairs whose longer side has more than this many times the pieces of the shorter
    one are dropped and counted."""


class Tokenizer(Section):
    """SentencePiece tokenisation, from raw text to raw text."""

    type: Annotated[Literal["unigram", "bpe", "char", "word"], FROM_CORPUS] = "bpe"
    """Kind of SentencePiece model. `char` and `word` suit character tasks and pre-split symbols."""

    vocab_size: Annotated[int, FROM_CORPUS] = Field(default=8000, ge=8)
    """Number of pieces, the four special ones included. A corpus too small for it gets as many
    as it supports."""

    joint: Annotated[bool, FROM_CORPUS] = True
    """One model for both languages; `false` trains one each. Sharing suits related languages in
    one script and is what three-way tying needs."""

    tgt_min_count: Annotated[int, FROM_CORPUS] = Field(default=0, ge=0)
    """Pieces of a joint vocabulary that the target side of the training text has less often than
    this are no pieces of the target: it is spelt without them, and the output layer computes
    nothing for them (vocabulary threshold, Sennrich et al. 2017). 1 leaves out those of the source
    alone, often a quarter; more, 10 say, those too that are too rare to be learnt; 0 none. Up to 63
    others fill the output layer to a multiple of 64, which is faster."""

    lowercase: bool = False
    """Lower-case the text (and so the output)."""

    byte_fallback: bool = False
    """Spell characters outside the vocabulary in UTF-8 bytes instead of `<unk>`."""

    character_coverage: float = Field(default=1.0, ge=0.98, le=1)
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
