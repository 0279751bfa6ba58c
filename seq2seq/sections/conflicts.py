"""Values of a recipe that are legal one by one but not together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from seq2seq.keys import Path as KeyPath
from seq2seq.sections.files import corpora_of
from seq2seq.sections.source_conflicts import find_source_conflicts
from seq2seq.sections.sources import Corpus
from seq2seq.sections.stream_conflicts import find_stream_conflicts
from seq2seq.settings import Conflict

if TYPE_CHECKING:
    from seq2seq.recipe import Data, Decoder, Decoding, Encoder, Model, Recipe, Tokenizer, Training

_MEANINGFUL = {
    "columns": ("tsv", "jsonl", "hub", "directory"),
    "config": ("hub", "directory"),
    "split": ("hub", "directory"),
}


def find_conflicts(recipe: Recipe) -> Iterator[Conflict]:
    """The combinations in a recipe that cannot be."""
    if recipe.output_dir.startswith("~/"):
        text = "a shell expands '~' at the beginning of a word alone; write the path out, or $HOME"
        yield Conflict(text, "output_dir")
    yield from _in_data(recipe.data)
    yield from find_source_conflicts(recipe)
    yield from find_stream_conflicts(recipe)
    yield from _in_tokenizer(recipe.tokenizer)
    yield from _in_model(recipe.model)
    if recipe.model.tied_embeddings == "three_way" and not recipe.tokenizer.joint:
        keys = "model.tied_embeddings", "tokenizer.joint"
        yield Conflict("three_way needs one vocabulary; set tokenizer.joint: true", *keys)
    if recipe.model.decoder.copy_attention and not recipe.tokenizer.joint:
        keys = "model.decoder.copy_attention", "tokenizer.joint"
        yield Conflict("needs one vocabulary; set tokenizer.joint: true", *keys)
    if recipe.model.decoder.copy_attention and recipe.tokenizer.tgt_min_count:
        text = "what is copied must be a piece of the target; set 0"
        yield Conflict(text, "tokenizer.tgt_min_count", "model.decoder.copy_attention")
    yield from _in_training(recipe.training)
    if recipe.training.precision == "float16" and recipe.device in ("cpu", "mps"):
        text = f"float16 needs a GPU, not device: {recipe.device}; use auto or device: cuda"
        yield Conflict(text, "training.precision", "device")
    yield from _in_beginning(recipe)
    yield from _between_model_and_training(recipe.model, recipe.training)
    yield from _in_decoding(recipe.decoding)
    if recipe.decoding.coverage_penalty > 0 and recipe.model.decoder.attention is None:
        text = "needs attention; set 0, or give decoder.attention"
        yield Conflict(text, "decoding.coverage_penalty", "model.decoder.attention")
    if recipe.decoding.shortlist and recipe.model.decoder.copy_attention:
        text = "has no part in a model that copies; set 0, or model.decoder.copy_attention: false"
        yield Conflict(text, "decoding.shortlist", "model.decoder.copy_attention")
    if recipe.decoding.replace_unk and recipe.model.decoder.attention is None:
        text = "knows what to copy from attention only; set false, or give the model attention"
        yield Conflict(text, "decoding.replace_unk", "model.decoder.attention")


def _in_data(data: Data) -> Iterator[Conflict]:
    for path, corpus in corpora_of(data):
        yield from _in_corpus(path, corpus, has_source=data.src is not None)
    for name in data.test:
        if not name or name.startswith(".") or "/" in name or "\\" in name:
            text = "names a file of the evaluation; use letters, digits and any of - _ ."
            yield Conflict(text, ("data", "test", name))
    given, back = data.distillation, data.back_translation
    if given.runs is None and not given.keep_original:
        text = "without data.distillation.runs nothing else is there to train on; name some"
        yield Conflict(text, "data.distillation.keep_original", "data.distillation.runs")
    if (back.runs is None) != (back.text is None):
        text = "needs runs that translate, and text to be translated; give both or neither"
        keys = "text" if back.runs is None else "runs", "runs" if back.runs is None else "text"
        yield Conflict(text, *(f"data.back_translation.{key}" for key in keys))
    yield from _in_weights(data)


def _in_weights(data: Data) -> Iterator[Conflict]:
    if data.weights is None:
        return
    if data.temperature is not None:
        text = "temperature makes weights too; remove one of them"
        yield Conflict(text, "data.weights", "data.temperature")
    made = [data.distillation.runs, data.back_translation.runs]
    count = data.distillation.keep_original * len(data.train) + sum(r is not None for r in made)
    if len(data.weights) != count:
        text = f"{len(data.weights)} for {count}; give one for each corpus that is trained on"
        yield Conflict(text, "data.weights", "data.train")


def _in_corpus(path: KeyPath, corpus: Corpus, *, has_source: bool) -> Iterator[Conflict]:
    sides = [side for side in ("src", "tgt") if getattr(corpus, side) is not None]
    keys = [(*path, key) for key in ("path", "src", "tgt")]
    if corpus.path is not None and sides:
        yield Conflict("give either path or src and tgt, not both", *reversed(keys))
    elif corpus.path is None and not sides:
        yield Conflict("names no corpus; give path, or src and tgt", path, *keys)
    elif not has_source and corpus.src is not None:
        text = "there is no source language (data.src); remove src"
        yield Conflict(text, (*path, "src"), "data.src")
    elif corpus.path is None and len(sides) == 1 and has_source:
        other = "tgt" if sides == ["src"] else "src"
        yield Conflict(f"needs {other} beside it", (*path, sides[0]), (*path, other))
    for key, kinds in _MEANINGFUL.items():
        if getattr(corpus, key) is not None and corpus.kind not in kinds:
            what = {"pair": "plain text", "tsv": "TSV", "jsonl": "JSON lines"}[corpus.kind]
            yield Conflict(f"{what} has no {key}; remove it", (*path, key), keys[0])
    numbers = corpus.columns if corpus.kind == "tsv" else None
    if numbers and not all(number.isdecimal() and int(number) > 0 for number in numbers):
        text = "columns of TSV are numbers from 1; for example [1, 2]"
        yield Conflict(text, (*path, "columns"), keys[0])


def _in_tokenizer(tokenizer: Tokenizer) -> Iterator[Conflict]:
    sides = {"src_model": "tgt_model", "tgt_model": "src_model"}
    given = [key for key in sides if getattr(tokenizer, key) is not None]
    for key in given:
        if tokenizer.model is not None:
            text = "model is for both sides already; remove one of them"
            yield Conflict(text, f"tokenizer.{key}", "tokenizer.model")
            return
        if len(given) == 1:
            text = f"needs {sides[key]} beside it"
            yield Conflict(text, f"tokenizer.{key}", f"tokenizer.{sides[key]}")
    if given and tokenizer.joint:
        text = "a model for each side needs tokenizer.joint: false"
        yield Conflict(text, f"tokenizer.{given[0]}", "tokenizer.joint")
    if tokenizer.model is not None and not tokenizer.joint:
        text = (
            "one model for both sides needs tokenizer.joint: true; or give src_model and tgt_model"
        )
        yield Conflict(text, "tokenizer.model", "tokenizer.joint")
    if tokenizer.sampling > 0 and tokenizer.type in ("char", "word"):
        text = f"a {tokenizer.type} tokenizer has one way to segment; set 0, or type bpe or unigram"
        yield Conflict(text, "tokenizer.sampling", "tokenizer.type")
    if tokenizer.tgt_min_count:
        yield from _of_target_pieces(tokenizer)


def _of_target_pieces(tokenizer: Tokenizer) -> Iterator[Conflict]:
    """What doesn't go with a target that has some of the joint pieces."""
    key = "tokenizer.tgt_min_count"
    if not tokenizer.joint:
        yield Conflict("chooses among joint pieces; set 0", key, "tokenizer.joint")
    if tokenizer.type in ("char", "word"):
        text = f"a {tokenizer.type} tokenizer has no smaller pieces to spell with; set 0"
        yield Conflict(text, key, "tokenizer.type")
    if tokenizer.sampling > 0:
        text = "sampling draws pieces that aren't counted; set 0"
        yield Conflict(text, key, "tokenizer.sampling")
    if tokenizer.model is not None:
        text = "an existing model has its own pieces; set 0"
        yield Conflict(text, key, "tokenizer.model")


def _in_model(model: Model) -> Iterator[Conflict]:
    encoder, decoder = model.encoder, model.decoder
    if decoder.attention is None and decoder.feeding is not None:
        text = "without attention there is nothing to feed; set null, or give decoder.attention"
        yield Conflict(text, "model.decoder.feeding", "model.decoder.attention")
    if model.tied_embeddings == "three_way" and encoder.embedding_dim != decoder.embedding_dim:
        sizes = f"{encoder.embedding_dim} and {decoder.embedding_dim}"
        yield Conflict(
            f"three_way needs equal embedding_dim in encoder and decoder, not {sizes}",
            "model.tied_embeddings",
            "model.encoder.embedding_dim",
            "model.decoder.embedding_dim",
        )
    yield from _in_attention(decoder)
    size = encoder.hidden_size * (2 if encoder.bidirectional else 1)
    plain = decoder.attention in ("dot", "scaled_dot") and decoder.attention_heads == 1
    if plain and size != decoder.hidden_size:
        yield Conflict(
            f"{decoder.attention} needs a decoder.hidden_size of {size}, the encoder's output, not "
            f"{decoder.hidden_size}; or use luong",
            "model.decoder.attention",
            "model.decoder.hidden_size",
            "model.encoder.hidden_size",
        )
    yield from _in_recurrent(model)
    if model.bridge == "copy":
        both = {
            "rnn_type": (encoder.rnn_type, decoder.rnn_type),
            "num_layers": (encoder.num_layers, decoder.num_layers),
            "hidden_size": (size, decoder.hidden_size),
        }
        for key, (ours, theirs) in both.items():
            if ours != theirs:
                note = (
                    " (both directions)" if key == "hidden_size" and encoder.bidirectional else ""
                )
                yield Conflict(
                    f"copy needs equal {key} in encoder and decoder, not {ours}{note} and {theirs}",
                    "model.bridge",
                    f"model.encoder.{key}",
                    f"model.decoder.{key}",
                    *(["model.encoder.bidirectional"] if key == "hidden_size" else []),
                )


def _in_attention(decoder: Decoder) -> Iterator[Conflict]:
    attention, heads = decoder.attention, decoder.attention_heads
    for key in ("context_gate", "lexical", "copy_attention"):
        if attention is None and getattr(decoder, key):
            text = "needs attention; set false, or give decoder.attention"
            yield Conflict(text, f"model.decoder.{key}", "model.decoder.attention")
    if attention == "monotonic" and decoder.copy_attention:
        text = "monotonic attention may look nowhere; use another kind"
        yield Conflict(text, "model.decoder.copy_attention", "model.decoder.attention")
    if heads > 1 and attention not in ("dot", "scaled_dot", "luong"):
        kind = "no attention" if attention is None else f"{attention} attention"
        text = f"{kind} has one head; set 1, or use scaled_dot"
        yield Conflict(text, "model.decoder.attention_heads", "model.decoder.attention")
    elif decoder.hidden_size % heads:
        text = f"must divide decoder.hidden_size ({decoder.hidden_size}) without a remainder"
        keys = "model.decoder.attention_heads", "model.decoder.hidden_size"
        yield Conflict(f"{text}, not {heads}", *keys)


def _in_recurrent(model: Model) -> Iterator[Conflict]:
    encoder, decoder = model.encoder, model.decoder
    sides: dict[str, Encoder | Decoder] = {"decoder": decoder}
    if model.reads_source:
        sides = {"encoder": encoder, **sides}
    kinds = {side: section.rnn_type for side, section in sides.items()}
    for side, section in sides.items():
        if section.transition_depth > 1 and section.rnn_type != "gru":
            text = f"{section.rnn_type} takes one step per token; set 1, or rnn_type: gru"
            keys = f"model.{side}.transition_depth", f"model.{side}.rnn_type"
            yield Conflict(text, *keys)
    if encoder.alternating and encoder.bidirectional:
        text = "bidirectional layers read both ways already; set bidirectional: false"
        yield Conflict(text, "model.encoder.alternating", "model.encoder.bidirectional")
    if encoder.alternating and encoder.num_layers == 1:
        text = "one layer reads one way alone; set num_layers: 2, or false"
        yield Conflict(text, "model.encoder.alternating", "model.encoder.num_layers")
    if encoder.residual and encoder.pyramid_layers == encoder.num_layers - 1 > 0:
        text = "all layers above the first join two steps to one; set false, or more num_layers"
        yield Conflict(text, "model.encoder.residual", "model.encoder.num_layers")
    if encoder.pyramid_layers >= encoder.num_layers:
        text = f"must be less than num_layers ({encoder.num_layers}), not {encoder.pyramid_layers}"
        yield Conflict(text, "model.encoder.pyramid_layers", "model.encoder.num_layers")
    for key in ("lexical", "copy_attention"):
        if encoder.pyramid_layers and getattr(decoder, key):
            text = "pyramid_layers leave no place for each source token; set false, or 0 layers"
            yield Conflict(text, f"model.decoder.{key}", "model.encoder.pyramid_layers")
    types = tuple(f"model.{side}.rnn_type" for side in kinds)
    if all(kind in ("ssru", "mingru") for kind in kinds.values()):
        for key in ("recurrent_dropout", "weight_dropout"):
            if getattr(model, key) > 0:
                text = "ssru and mingru have no recurrent weights; set 0, or another rnn_type"
                yield Conflict(text, f"model.{key}", *types)
    if model.forget_bias is not None and not any(
        kind in ("lstm", "ln_lstm", "ssru", "mingru") for kind in kinds.values()
    ):
        cells = sorted(set(kinds.values()))
        text = f"{' and '.join(cells)} ha{'ve' if len(cells) > 1 else 's'} no forget gate; set null"
        yield Conflict(text, "model.forget_bias", *types)


def _in_training(training: Training) -> Iterator[Conflict]:
    if training.clip_grad_value is not None and training.clip_grad_norm is not None:
        text = "clip_grad_norm is given too; set one of them to null"
        yield Conflict(text, "training.clip_grad_value", "training.clip_grad_norm")
    if training.min_learning_rate > training.learning_rate:
        yield Conflict(
            f"must be at most learning_rate ({training.learning_rate:g})",
            "training.min_learning_rate",
            "training.learning_rate",
        )
    if training.average_best and training.keep_best < 2:
        text = "there is nothing to average; set keep_best: 5, or another number above 1"
        yield Conflict(text, "training.average_best", "training.keep_best")
    if training.momentum > 0 and training.optimizer != "sgd":
        text = f"{training.optimizer} has no momentum; set 0, or optimizer: sgd"
        yield Conflict(text, "training.momentum", "training.optimizer")
    if training.reload_best and training.schedule != "plateau":
        text = "goes with the falls of schedule: plateau; set that, or false"
        yield Conflict(text, "training.reload_best", "training.schedule")
    if training.teacher_forcing_decay is not None and training.teacher_forcing == 1:
        text = "there is nothing to decay to; set teacher_forcing below 1, or null"
        yield Conflict(text, "training.teacher_forcing_decay", "training.teacher_forcing")
    if training.objective == "minimum_risk":
        for key, off in {"r_drop": 0, "teacher_forcing": 1}.items():
            if getattr(training, key) != off:
                text = f"has no part in minimum_risk; set {off}, or objective: cross_entropy"
                yield Conflict(text, f"training.{key}", "training.objective")
        if training.risk_samples == 1 and not training.risk_reference:
            text = "there is nothing to choose from; set 20, or another number above 1, or "
            keys = "training.risk_samples", "training.risk_reference"
            yield Conflict(f"{text}risk_reference: true", *keys)
    if training.eps is not None and training.optimizer == "sgd":
        text = "sgd divides by nothing; set null, or another optimizer"
        yield Conflict(text, "training.eps", "training.optimizer")


def _between_model_and_training(model: Model, training: Training) -> Iterator[Conflict]:
    """What a way of training asks of the network."""
    whole = {"locked_dropout": "false", "recurrent_dropout": "0", "weight_dropout": "0"}
    for key, off in whole.items():
        if training.truncate is not None and getattr(model, key):
            text = f"what is dropped for a whole target cannot be cut; set null, or {key}: {off}"
            yield Conflict(text, "training.truncate", f"model.{key}")
    if training.truncate is not None and model.reads_source and model.decoder.attention is None:
        text = "cuts targets off from the source without attention; set null, or decoder.attention"
        yield Conflict(text, "training.truncate", "model.decoder.attention")


def _in_beginning(recipe: Recipe) -> Iterator[Conflict]:
    """What doesn't go with the weights and the tokenizer of another run."""
    if recipe.training.init_from is None:
        return
    for key in ("model", "src_model", "tgt_model"):
        if getattr(recipe.tokenizer, key) is not None:
            text = "the tokenizer comes from training.init_from; remove one of them"
            yield Conflict(text, f"tokenizer.{key}", "training.init_from")


def _in_decoding(decoding: Decoding) -> Iterator[Conflict]:
    width = "n_best" if decoding.sampling else "beam_size"
    if decoding.mbr is not None and getattr(decoding, width) == 1:
        text = f"there is nothing to choose from; set {width} above 1, or null"
        yield Conflict(text, "decoding.mbr", f"decoding.{width}")
    if decoding.replace_unk and decoding.ban_unk:
        text = "there is no <unk> to replace; set ban_unk: false, or replace_unk: false"
        yield Conflict(text, "decoding.replace_unk", "decoding.ban_unk")
    if not decoding.sampling and decoding.n_best > decoding.beam_size:
        text = f"must be at most beam_size ({decoding.beam_size}), not {decoding.n_best}"
        yield Conflict(text, "decoding.n_best", "decoding.beam_size")
    if decoding.max_length is not None and decoding.min_length >= decoding.max_length:
        text = f"must be less than max_length ({decoding.max_length}), not {decoding.min_length}"
        yield Conflict(text, "decoding.min_length", "decoding.max_length")
    longest = decoding.max_length_ratio
    if longest is not None and decoding.min_length_ratio > longest:
        text = f"must be at most max_length_ratio ({longest:g}), not {decoding.min_length_ratio:g}"
        yield Conflict(text, "decoding.min_length_ratio", "decoding.max_length_ratio")
    if decoding.beam_size % decoding.diversity_groups:
        text = f"must divide beam_size ({decoding.beam_size}), which {decoding.diversity_groups}"
        keys = "decoding.diversity_groups", "decoding.beam_size"
        yield Conflict(f"{text} does not", *keys)
    if decoding.glossary is not None and decoding.diversity_groups > 1:
        text = "has no part in beams of groups; set null, or diversity_groups: 1"
        yield Conflict(text, "decoding.glossary", "decoding.diversity_groups")
    yield from _in_sampling(decoding)


def _in_sampling(decoding: Decoding) -> Iterator[Conflict]:
    """What only search or only samples know."""
    of_samples = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
    of_search = {
        "coverage_penalty": 0.0,
        "early_stopping": "so_far",
        "glossary": None,
        "diversity_groups": 1,
    }
    other = "false" if decoding.sampling else "true"
    for key, off in (of_search if decoding.sampling else of_samples).items():
        if getattr(decoding, key) != off:
            shown = "null" if off is None else off if isinstance(off, str) else f"{off:g}"
            what = "samples" if decoding.sampling else "a search for the best"
            text = f"has no part in {what}; set {shown}, or sampling: {other}"
            yield Conflict(text, f"decoding.{key}", "decoding.sampling")
