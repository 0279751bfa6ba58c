"""The whole network: encoder, bridge, decoder and output layer."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from seq2seq import recipe
from seq2seq.model.cells import State
from seq2seq.model.copying import Copying
from seq2seq.model.decoder import Decoder, DecoderState
from seq2seq.model.dropout import build_dropouts
from seq2seq.model.embedding import Embedding, TiedOutput, build_output
from seq2seq.model.encoder import Encoder, EncoderOutput, NoEncoder
from seq2seq.model.initialise import init_linear, redraw
from seq2seq.model.lexical import Lexical, LexicalOutput, Output
from seq2seq.model.memory import Memory
from seq2seq.model.recurrent import NUM_STATES


class Seq2Seq(nn.Module):
    """An attentional encoder-decoder, or a language model: the decoder of one without a source.

    `encode` then `decode` gives features (…, R); `output` turns these into logits (…, V). The two
    are apart so that training can fuse the output layer with its loss. With a lexical model the
    features are readouts and lexical ones side by side. With copying, what `output` gives is only
    one part of a mixture.
    """

    def __init__(self, section: recipe.Model, src_vocab_size: int, tgt_vocab_size: int) -> None:
        super().__init__()
        tied, dropouts = section.tied_embeddings, build_dropouts(section)
        encoder, decoder = section.encoder, section.decoder
        # One vocabulary is that of the source, of which the target has the first tokens.
        num_embeddings = src_vocab_size if tied == "three_way" else tgt_vocab_size
        tgt_embedding = Embedding(num_embeddings, decoder.embedding_dim, tied=tied is not None)
        readout_size = decoder.embedding_dim if tied else decoder.hidden_size
        self.encoder: Encoder | NoEncoder = NoEncoder()
        if section.reads_source:
            src_embedding = tgt_embedding
            if tied != "three_way":
                src_embedding = Embedding(src_vocab_size, encoder.embedding_dim, tied=False)
            self.encoder = Encoder(
                encoder, src_embedding, dropouts, hidden_only=section.bridge != "copy"
            )
        memory_size = self.encoder.output_size
        self.decoder = Decoder(decoder, tgt_embedding, memory_size, readout_size, dropouts)
        self.bridge = Bridge(section, memory_size)
        output: nn.Linear | TiedOutput = (
            TiedOutput(tgt_embedding, tgt_vocab_size)
            if tied
            else build_output(readout_size, tgt_vocab_size)
        )
        lexical_size = encoder.embedding_dim if decoder.lexical else 0
        self.lexical = Lexical(lexical_size, dropouts) if decoder.lexical else None
        self.output: Output = LexicalOutput(output, lexical_size) if decoder.lexical else output
        self.copying = Copying(readout_size + lexical_size) if decoder.copy_attention else None
        embeddings = [part for part in self.modules() if isinstance(part, Embedding)]
        scaled = [weight for part in (*embeddings, self.output) for weight in part.parameters()]
        redraw(self, scaled, section)

    @property
    def reads_source(self) -> bool:
        """Whether there is an encoder."""
        return isinstance(self.encoder, Encoder)

    def encode(self, src: Tensor, lengths: Tensor, copied: Tensor | None = None) -> DecoderState:
        """Read src (B, S) with real lengths (B,) on the CPU; one decoder row per sentence.

        What can be copied are the ids `copied` (B, S), if others than those read.
        """
        encoded: EncoderOutput = self.encoder(src, lengths)
        decoder = self.decoder
        num_lower = decoder.lower.num_layers
        state = self.bridge(encoded.final)
        memory, past = None, None
        if decoder.attention is not None:
            plain: Memory = decoder.attention.build_memory(encoded.states, encoded.mask)
            past = decoder.attention.start(plain)
            memory = replace(
                plain,
                tokens=None if self.copying is None else src if copied is None else copied,
                embeddings=None if self.lexical is None else encoded.embedded,
            )
        feed = None
        if decoder.input_feeding:
            feed = encoded.states.new_zeros(src.shape[0], decoder.readout_size)
        return DecoderState(
            tuple(part[:num_lower].contiguous() for part in state),
            tuple(part[num_lower:].contiguous() for part in state) if decoder.upper else (),
            feed,
            memory,
            past,
        )

    def decode(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read tokens (N, T); features of each next token (N, T, R) and the state after them."""
        features, state = self.decoder(tokens, state)
        if self.lexical is not None:
            assert state.memory is not None
            lexical = self.lexical(state.weights, state.memory.embeddings)
            features = torch.cat((features, lexical.to(features.dtype)), dim=-1)
        return features, state

    def forward(self, src: Tensor, lengths: Tensor, tgt_in: Tensor) -> Tensor:
        """Teacher forcing: features (B, T, R), each predicting what follows in tgt_in (B, T)."""
        return self.decode(tgt_in, self.encode(src, lengths))[0]

    def step(
        self, tokens: Tensor, state: DecoderState, allowed: Tensor | None = None
    ) -> tuple[Tensor, DecoderState]:
        """A search step: last tokens (N,) -> log-probabilities (N, V) of the next ones.

        Of those that `allowed` (B, V) tells for each sentence, if it is given.
        """
        features, state = self.decode(tokens.unsqueeze(1), state)
        features = features.squeeze(1)
        logits = self.output(features).float()
        if allowed is not None:
            rows = logits.view(len(allowed), -1, logits.shape[1])
            # In half the time of a mask that is spread over a sentence's rows.
            rows += torch.where(allowed, 0.0, float("-inf")).unsqueeze(1)
        log_probs = torch.log_softmax(logits, dim=-1)
        if self.copying is not None:
            assert state.weights is not None and state.memory is not None
            weights, src = state.weights.squeeze(1), state.memory.tokens
            assert src is not None
            log_probs = self.copying.mix(features, log_probs, weights, src)
        return log_probs, state


class Bridge(nn.Module):
    """Makes the decoder's first state from the encoder's final one.

    `dense` maps the top layer's final hidden state to all states of all layers through a tanh
    layer (Bahdanau et al. 2015, appendix A.2.2); `copy` takes the states as they are.
    """

    def __init__(self, section: recipe.Model, memory_size: int) -> None:
        super().__init__()
        decoder = section.decoder
        self.kind = section.bridge
        self.num_states = NUM_STATES[decoder.rnn_type]
        self.shape = (decoder.num_layers, decoder.hidden_size)
        size = self.num_states * decoder.num_layers * decoder.hidden_size
        self.dense = init_linear(nn.Linear(memory_size, size)) if self.kind == "dense" else None

    def forward(self, final: State) -> State:
        """The encoder's final state, each (L, B, M) -> the decoder's, each (L, B, H)."""
        if self.kind == "copy":
            return final
        layers, hidden = self.shape
        batch = final[0].shape[1]
        if self.dense is None:
            zeros = final[0].new_zeros(layers, batch, hidden)
            return (zeros,) * self.num_states
        values = torch.tanh(self.dense(final[0][-1]))
        parts = values.view(batch, self.num_states, layers, hidden).permute(1, 2, 0, 3)
        return tuple(part.contiguous() for part in parts)
