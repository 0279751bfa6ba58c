"""The network."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from seq2seq.settings import Section
from seq2seq.sources import FROM_CORPUS

Probability = Annotated[float, Field(ge=0, lt=1)]
RnnType = Literal["gru", "lstm"]
AttentionType = Literal["bahdanau", "luong", "dot"]
Feeding = Literal["first_layer", "input"]


class Encoder(Section):
    """The recurrent encoder."""

    rnn_type: RnnType = "lstm"
    """Recurrent cell. LSTM layers run fused on CPUs, so there they are the faster ones."""

    embedding_dim: Annotated[int, FROM_CORPUS] = Field(default=256, ge=1)
    """Size of the source embeddings."""

    hidden_size: Annotated[int, FROM_CORPUS] = Field(default=256, ge=1)
    """Units of each layer, per direction."""

    num_layers: Annotated[int, FROM_CORPUS] = Field(default=1, ge=1)
    """Recurrent layers."""

    bidirectional: bool = True
    """Read the source in both directions."""


class Decoder(Section):
    """The recurrent decoder with its attention."""

    rnn_type: RnnType = "lstm"
    """Recurrent cell."""

    embedding_dim: Annotated[int, FROM_CORPUS] = Field(default=256, ge=1)
    """Size of the target embeddings."""

    hidden_size: Annotated[int, FROM_CORPUS] = Field(default=512, ge=1)
    """Units of each layer."""

    num_layers: Annotated[int, FROM_CORPUS] = Field(default=2, ge=1)
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

    tied_embeddings: Annotated[Literal["two_way", "three_way"] | None, FROM_CORPUS] = None
    """Share weights: `two_way` target embedding and output layer, `three_way` the source
    embedding too (Press & Wolf 2017)."""
