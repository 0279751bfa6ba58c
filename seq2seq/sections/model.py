"""The network."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from seq2seq.sections.sources import FROM_CORPUS
from seq2seq.settings import Section

Probability = Annotated[float, Field(ge=0, lt=1)]
RnnType = Literal["rnn_tanh", "rnn_relu", "gru", "lstm", "ln_lstm", "ln_gru", "ssru", "mingru"]
Initializer = Literal["xavier", "he", "uniform"]
AttentionType = Literal[
    "bahdanau", "concat", "luong", "dot", "scaled_dot", "coverage", "location", "monotonic"
]
Feeding = Literal["first_layer", "input", "conditional"]


def _is_depth(count: int) -> bool:
    """Whether it is a legal number of layers, which `true` isn't."""
    return count is not True and count > 0


class Encoder(Section):
    """The recurrent encoder."""

    rnn_type: RnnType = "lstm"
    """Recurrent cell. `lstm` and `gru` are the usual ones; LSTM layers run fused on CPUs, so there
    they are the faster ones. `rnn_tanh` and `rnn_relu`: plain networks without gates. `ln_lstm` and
    `ln_gru`: normalised (Ba et al. 2016), steadier at high learning rates; they take a loop over
    time, which costs little on a CPU and much on a GPU. `ssru` (Kim et al. 2019) and `mingru` (Feng
    et al. 2024): gates see the input only, so all steps are computed at once, at a quarter of an
    LSTM's time on a CPU and less on a GPU; for stacks of several layers."""

    embedding_dim: Annotated[int, FROM_CORPUS] = Field(default=256, ge=1)
    """Size of the source embeddings."""

    hidden_size: Annotated[int, FROM_CORPUS] = Field(default=256, ge=1)
    """Units of each layer, per direction."""

    num_layers: Annotated[int, FROM_CORPUS] = Field(default=2, ge=1)
    """Recurrent layers."""

    bidirectional: bool = True
    """Read the source in both directions."""

    alternating: bool = False
    """Read forwards in one layer and backwards in the next (Zhou et al. 2016): both directions at
    half of the weights of `bidirectional`, which is then `false`. For deep encoders."""

    pyramid_layers: int = Field(default=0, ge=0)
    """How many of the layers above the first join two steps to one, so that each halves the length
    (Chan et al. 2016). For characters or bytes: attention and the layers above get cheaper. Without
    `num_layers` there are just these layers and the first."""

    residual: bool = False
    """Add a layer's input to its output, above the first layer and where no steps are joined (He et
    al. 2016, Wu et al. 2016). For three layers and more."""

    transition_depth: int = Field(default=1, ge=1)
    """Steps of a `gru` per token; those after the first have no input (deep transition, Miceli
    Barone et al. 2017). More than 1 takes a loop over time, slow above all on a GPU."""

    @model_validator(mode="before")
    @classmethod
    def _alternate_instead_of_reading_twice(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("alternating") is True:
            return {"bidirectional": False} | given
        return given

    @model_validator(mode="before")
    @classmethod
    def _have_layers_for_the_pyramid(cls, given: Any) -> Any:
        match given:
            case {"pyramid_layers": int(count)} if _is_depth(count):
                return {"num_layers": count + 1} | given
        return given


class Decoder(Section):
    """The recurrent decoder with its attention."""

    rnn_type: RnnType = "lstm"
    """Recurrent cell; `encoder.rnn_type` tells them apart."""

    embedding_dim: Annotated[int, FROM_CORPUS] = Field(default=256, ge=1)
    """Size of the target embeddings."""

    hidden_size: Annotated[int, FROM_CORPUS] = Field(default=512, ge=1)
    """Units of each layer."""

    num_layers: Annotated[int, FROM_CORPUS] = Field(default=2, ge=1)
    """Recurrent layers."""

    residual: bool = False
    """Add a layer's input to its output, above the first layer (He et al. 2016, Wu et al. 2016).
    For three layers and more."""

    transition_depth: int = Field(default=1, ge=1)
    """Steps of a `gru` per token, as in the encoder (Miceli Barone et al. 2017)."""

    attention: Annotated[AttentionType | None, FROM_CORPUS] = "luong"
    """How decoder states are compared with encoder states. By a product: `luong` for a learnt
    bilinear form ("general", Luong et al. 2015), their plain `dot` product, or `scaled_dot`, which
    divides it by the root of the size (Vaswani et al. 2017). Through a layer: additive `bahdanau`
    (Bahdanau et al. 2015), or `concat`, the same without a bias (Luong et al. 2015). Additive and
    with a memory, which takes a loop over time: `coverage` knows how much of each token was
    attended to before, by its fertility, so that less is left out or said twice (the linguistic
    model of Tu et al. 2016); `location` knows where it looked last, for long sources in target
    order (Chorowski et al. 2015); `monotonic` only moves forward, for transcription of characters
    or sounds (Raffel et al. 2017). `null`: no attention, the decoder knows the source by its
    initial state alone."""

    attention_heads: Annotated[int, FROM_CORPUS] = Field(default=1, ge=1)
    """Heads of `dot`, `scaled_dot` or `luong` attention. More than one attend to several places at
    once, each by inner products of its own projections of queries, keys and values (Vaswani et al.
    2017)."""

    feeding: Feeding | None = "first_layer"
    """Where the attended source goes. `first_layer`: the first layer attends and the layers above
    read the result (GNMT, Wu et al. 2016); trains without a loop over time. `input`: the result
    joins the next step's input (Luong et al. 2015); several times slower. `conditional`: a second
    transition takes the first layer's state through it before the next step (the conditional GRU of
    Nematus, Sennrich et al. 2017; LSTM cells do it too); slower as well. `null`: only into the
    output layer, and so without attention."""

    context_gate: bool = False
    """Weigh the attended source against the decoder state with a gate (Tu et al. 2017), so that
    words of meaning follow the source and words of form the target."""

    deep_output: bool = False
    """Let the layer before the output read the last token's embedding too (Pascanu et al. 2014,
    Bahdanau et al. 2015)."""

    lexical: Annotated[bool, FROM_CORPUS] = False
    """Add logits that come from the attended source embeddings alone (Nguyen & Chiang 2018). For
    rare words and small data, which it learns from in far fewer updates; the output layer grows by
    the source embeddings' size."""

    copy_attention: Annotated[bool, FROM_CORPUS] = False
    """Let the decoder copy source tokens by their attention weights (pointer-generator, See et al.
    2017), for names, numbers and inflection; needs one vocabulary. Label smoothing smooths what the
    vocabulary's distribution is trained on, not what is copied."""

    @model_validator(mode="before")
    @classmethod
    def _feed_nothing_without_attention(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("attention", "") is None:
            return {"feeding": None} | given
        return given


class Model(Section):
    """The network."""

    type: Literal["encoder_decoder", "language_model"] = "encoder_decoder"
    """What the network is. `language_model`: a decoder alone, which learns how likely texts of
    `data.tgt` are (Mikolov et al. 2010). It generates and scores text, and helps a translation
    model with the same target pieces (`decoding.language_model`). Needs `data.src: null`, and has
    no attention."""

    encoder: Encoder = Encoder()
    """The encoder; a language model has none."""

    decoder: Decoder = Decoder()
    """The decoder."""

    bridge: Literal["dense", "copy"] | None = "dense"
    """How the encoder's final state becomes the decoder's first: through a learnt layer, as it is
    (sizes and depths must fit; a depth that is given for one side is the other's too), or not at
    all (`null`)."""

    dropout: Annotated[Probability, FROM_CORPUS] = 0.2
    """Probability to drop a unit of the embeddings, between layers and before the output."""

    embedding_dropout: Probability | None = None
    """`dropout` of the embeddings, where it is to differ."""

    hidden_dropout: Probability | None = None
    """`dropout` of what recurrent layers give, where it is to differ."""

    output_dropout: Probability | None = None
    """`dropout` before the output layer, where it is to differ."""

    locked_dropout: bool = False
    """Drop the same units at all steps of a sequence (variational dropout, Gal & Ghahramani
    2016). Stronger at the same probability; for small data and long training."""

    recurrent_dropout: Probability = 0.0
    """Probability to drop a unit of the last step's hidden state where a layer reads it, the same
    ones at all steps of a sequence (Gal & Ghahramani 2016). For small data. Training takes a loop
    over time: about as fast on a CPU, several times slower on a GPU, where `weight_dropout` is not.
    Not for `ssru` and `mingru`, which read no hidden state."""

    weight_dropout: Probability = 0.0
    """Probability to drop a recurrent weight, the same ones for a whole batch (DropConnect, Merity
    et al. 2018). For small data; keeps the fused calls and so the speed."""

    initializer: Initializer = "xavier"
    """First weights of inputs and feed-forward layers: `xavier` (Glorot & Bengio 2010), `he` (He et
    al. 2015), or `uniform` within ±`init_range`. Embeddings and output layer have their own."""

    recurrent_initializer: Literal["orthogonal", "xavier", "he", "uniform"] = "orthogonal"
    """First weights between the steps of a recurrent layer (`orthogonal`: Saxe et al. 2014)."""

    init_range: float = Field(default=0.1, gt=0)
    """The largest weight of `uniform` initialisers."""

    forget_bias: float | None = None
    """First bias of forget gates; a higher one remembers longer. Default: 1 in LSTMs (Jozefowicz et
    al. 2015), 0 in `ssru` and `mingru`."""

    tied_embeddings: Annotated[Literal["two_way", "three_way"] | None, FROM_CORPUS] = None
    """Share weights: `two_way` target embedding and output layer, `three_way` the source
    embedding too (Press & Wolf 2017)."""

    @property
    def reads_source(self) -> bool:
        """Whether there is an encoder."""
        return self.type == "encoder_decoder"

    @property
    def drops_units(self) -> bool:
        """Whether units are dropped anywhere, other ones in each pass."""
        parts = self.embedding_dropout, self.hidden_dropout, self.output_dropout
        plain = (self.dropout if part is None else part for part in parts)
        return any(plain) or self.recurrent_dropout > 0

    @model_validator(mode="before")
    @classmethod
    def _attend_to_nothing_without_a_source(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("type") == "language_model":
            decoder = given.get("decoder", {})
            if isinstance(decoder, dict):
                decoder = {"attention": None} | decoder
            return {"bridge": None} | given | {"decoder": decoder}
        return given

    @model_validator(mode="before")
    @classmethod
    def _copy_to_as_many_layers(cls, given: Any) -> Any:
        match given:
            case {"bridge": "copy", "encoder": {"num_layers": int(count)}} if _is_depth(count):
                other = "decoder"
            case {"bridge": "copy", "decoder": {"num_layers": int(count)}} if _is_depth(count):
                other = "encoder"
            case _:
                return given
        section = given.get(other, {})
        if isinstance(section, dict):
            section = {"num_layers": count} | section
        return given | {other: section}
