"""Each wrong recipe gives its lines on stderr, nothing else, and exit status 2."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from seq2seq.cli import main

DATA = "data: {src: en, tgt: de, train: d/train, dev: d/dev}\n"


@dataclass
class Wrong:
    """A recipe after the line `DATA`, unless it brings its own, and what is said about it."""

    text: str
    lines: list[str]
    overrides: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def recipe(self) -> str:
        return self.text if "data:" in self.text else DATA + self.text


MISSING = "paths start at the working directory"

WRONG = {
    "targets cut off from their source": Wrong(
        "model: {decoder: {attention: null}}\ntraining: {truncate: 9}\n",
        [
            "x.yaml:3: training.truncate: cuts targets off from the source without attention; set "
            "null, or decoder.attention"
        ],
    ),
    "layers that do nothing of their own": Wrong(
        "model: {encoder: {residual: true, pyramid_layers: 2}}\n",
        [
            "x.yaml:2: model.encoder.residual: all layers above the first join two steps to one; "
            "set false, or more num_layers"
        ],
    ),
    "one layer that alternates": Wrong(
        "model: {encoder: {alternating: true, bidirectional: false, num_layers: 1}}\n",
        [
            "x.yaml:2: model.encoder.alternating: one layer reads one way alone; set num_layers: 2,"
            " or false"
        ],
    ),
    "a home that is none": Wrong(
        "output_dir: ~/runs/x\n",
        [
            "x.yaml:2: output_dir: a shell expands '~' at the beginning of a word alone; write the "
            "path out, or $HOME"
        ],
    ),
    "two mistakes in a list": Wrong(
        "evaluation: {metrics: [BLEU, chrF]}\n",
        [
            f"x.yaml:2: evaluation.metrics[{i}]: must be one of bleu, chrf, chrf++, ter, accuracy, "
            f"wer, cer, not '{name}'"
            for i, name in enumerate(("BLEU", "chrF"))
        ]
        + [
            f"command line: data.weights[{i}]: must be greater than 0, not {-i // 2}"
            for i in (0, 2)
        ],
        overrides=["data.weights=[0, 1, -1]"],
    ),
    "two mistakes in a corpus": Wrong(
        "data:\n  src: en\n  tgt: de\n  dev: d/dev\n  train: {source: d/train.en, target: d/x}\n",
        [
            "x.yaml:5: data.train.source: unknown key; did you mean 'src'?",
            "x.yaml:5: data.train.target: unknown key; did you mean 'tgt'?",
        ],
    ),
    "mistakes in one of several corpora": Wrong(
        "data:\n  src: en\n  tgt: de\n  dev: d/dev\n  train: [{path: d/a, colums: [1, 2]}, null]\n",
        [
            "x.yaml:5: data.train[0].colums: unknown key; did you mean 'columns'?",
            "x.yaml:5: data.train[1]: must be a section of keys, not null",
        ],
    ),
    "misspelt key": Wrong(
        "training:\n  optimiser: adam\n",
        ["x.yaml:3: training.optimiser: unknown key; did you mean 'optimizer'?"],
    ),
    "key of another section": Wrong(
        "training:\n  beam_size: 3\n",
        ["x.yaml:3: training.beam_size: unknown key; it belongs under 'decoding'"],
    ),
    "key of two other sections": Wrong(
        "batch_size: 3\n",
        ["x.yaml:2: batch_size: unknown key; it belongs under 'training' or 'decoding'"],
    ),
    "top-level key in a section": Wrong(
        "training: {seed: 3}\n",
        ["x.yaml:2: training.seed: unknown key; it belongs at the top level"],
    ),
    "misspelt section": Wrong(
        "trainning:\n  batch_size: 3\n",
        ["x.yaml:2: trainning: unknown key; did you mean 'training'?"],
    ),
    "dotted key in a file": Wrong(
        "training.max_epochs: 3\n",
        ["x.yaml:2: training.max_epochs: unknown key; write 'max_epochs' under 'training'"],
    ),
    "unheard-of key": Wrong(
        "decoding: {zzz: 3}\n",
        [
            "x.yaml:2: decoding.zzz: unknown key; "
            "`seq2seq recipe --explain decoding` lists the known ones"
        ],
    ),
    "duplicate key": Wrong(
        "training:\n  max_epochs: 3\n  seed: 1\n  max_epochs: 4\n",
        [
            "x.yaml:4: training.seed: unknown key; it belongs at the top level",
            "x.yaml:5: training.max_epochs: given twice, first in line 3",
        ],
    ),
    "text for a number": Wrong(
        "training: {learning_rate: fast}\n",
        ["x.yaml:2: training.learning_rate: must be a number, not 'fast'"],
    ),
    "quoted number": Wrong(
        "training:\n  batch_size: '8'\n",
        [
            "x.yaml:3: training.batch_size: must be a whole number or auto, not '8'; "
            "write it without quotes"
        ],
    ),
    "fraction for a whole number": Wrong(
        "training: {batch_size: 8.5}\n",
        ["x.yaml:2: training.batch_size: must be a whole number or auto, not 8.5"],
    ),
    "yes for true": Wrong(
        "decoding: {ban_unk: yes}\n",
        ["x.yaml:2: decoding.ban_unk: must be true or false, not 'yes'"],
    ),
    "null where off is something else": Wrong(
        "training: {label_smoothing: null}\n",
        ["x.yaml:2: training.label_smoothing: must be a number, not null; the default is 0.1"],
    ),
    "null where the default depends on the corpus": Wrong(
        "training: {learning_rate: null}\n",
        [
            "x.yaml:2: training.learning_rate: must be a number, not null; "
            "without the key it is chosen from the corpus"
        ],
    ),
    "out of range": Wrong(
        "training: {batch_size: 0, label_smoothing: 1.0, betas: [0.9, 2]}\n",
        [
            "x.yaml:2: training.batch_size: must be at least 1, not 0",
            "x.yaml:2: training.label_smoothing: must be at least 0 and less than 1, not 1.0",
            "x.yaml:2: training.betas[1]: must be at least 0 and less than 1, not 2",
        ],
    ),
    "not finite": Wrong(
        "training: {learning_rate: .inf}\n",
        ["x.yaml:2: training.learning_rate: must be finite, not .inf"],
    ),
    "illegal choice": Wrong(
        "training:\n  optimizer: adamx\n",
        [
            "x.yaml:3: training.optimizer: must be one of adam, adamw, radam, nadam, adamax, sgd, "
            "adadelta, not 'adamx'"
        ],
    ),
    "illegal choice, null being legal": Wrong(
        "model: {bridge: none}\n",
        ["x.yaml:2: model.bridge: must be one of dense, copy, null, not 'none'"],
    ),
    "wrong list": Wrong(
        "training: {betas: [0.9]}\nevaluation:\n  metrics: []\n",
        [
            "x.yaml:2: training.betas: must be a list of 2 numbers, not a list of 1",
            "x.yaml:4: evaluation.metrics: must not be empty",
        ],
    ),
    "value for a section": Wrong(
        "training: 3\n", ["x.yaml:2: training: must be a section of keys, not 3"]
    ),
    "section for a value": Wrong(
        "seed: {a: 1}\n", ["x.yaml:2: seed: must be a whole number, not a section of keys"]
    ),
    "no data": Wrong("seed: 3 # no data: at all\n", ["x.yaml:1: data: required, but not given"]),
    "no source language": Wrong(
        "# mine\ndata:\n  tgt: de\n  train: d/train\n  dev: d/dev\n",
        ["x.yaml:2: data: src is required, but not given; for example `src: en`"],
    ),
    "language model with a source": Wrong(
        DATA + "model: {type: language_model, decoder: {attention: dot}}\n"
        "training: {early_stopping_metric: bleu}\n",
        [
            "x.yaml:1: data.src: a language model reads text of data.tgt alone; set null, or "
            "remove it",
            "x.yaml:2: model.decoder.attention: a language model has no source and translates "
            "nothing; set null",
            "x.yaml:3: training.early_stopping_metric: a language model has no source and "
            "translates nothing; set loss",
        ],
    ),
    "language model with noise on a source": Wrong(
        "data: {tgt: de, train: d/train, dev: d/dev, reverse_src: true}\n"
        "model: {type: language_model}\n"
        "training: {src_word_dropout: 0.1, src_shuffle: 2}\n",
        [
            "x.yaml:1: data.reverse_src: a language model has no source and translates nothing; "
            "set false",
            "x.yaml:3: training.src_word_dropout: a language model has no source and translates "
            "nothing; set 0",
            "x.yaml:3: training.src_shuffle: a language model has no source and translates "
            "nothing; set 0",
        ],
    ),
    "language model of files with a source": Wrong(
        "data: {tgt: de, train: {src: d/train.en, tgt: d/train.de}, dev: d/dev}\n"
        "model: {type: language_model, bridge: dense}\n",
        [
            "x.yaml:1: data.train.src: there is no source language (data.src); remove src",
            "x.yaml:2: model.bridge: a language model has no source and translates nothing; set "
            "null",
        ],
    ),
    "missing language model": Wrong(
        "decoding: {language_model: runs/none}\n",
        [
            "x.yaml:2: decoding.language_model: no trained run 'runs/none' (it has no "
            f"checkpoints/best.safetensors); {MISSING}",
        ],
    ),
    "no target language": Wrong(
        "# mine\ndata:\n  src: en\n  train: d/train\n  dev: d/dev\n",
        ["x.yaml:2: data.tgt: required, but not given; for example `tgt: de`"],
    ),
    "missing corpora": Wrong(
        "data:\n  src: en\n  tgt: de\n  train:\n    - d/train\n    - d/more\n"
        "  dev: {src: d/dev.en, tgt: d/dev.fr}\n",
        [
            "x.yaml:6: data.train[1]: no such files 'd/more.en' and 'd/more.de'; " + MISSING,
            "x.yaml:7: data.dev.tgt: no such file 'd/dev.fr'; " + MISSING,
        ],
    ),
    "missing script": Wrong(
        "data:\n  src: en\n  tgt: de\n  train: e/train\n  dev: e/dev\n  script: make.py\n",
        ["x.yaml:6: data.script: no such file 'make.py'; " + MISSING],
    ),
    "missing tokenizer": Wrong(
        "tokenizer:\n  model: t.model\n",
        ["x.yaml:3: tokenizer.model: no such file 't.model'; " + MISSING],
    ),
    "corpus without its target": Wrong(
        "data:\n  src: en\n  tgt: de\n  train: {src: d/train.en}\n  dev: {}\n",
        [
            "x.yaml:4: data.train.src: needs tgt beside it",
            "x.yaml:5: data.dev: names no corpus; give path, or src and tgt",
        ],
    ),
    "corpus given twice over": Wrong(
        "data:\n  src: en\n  tgt: de\n  dev: d/dev\n"
        "  train: {path: d/train, src: d/train.en, split: train}\n",
        [
            "x.yaml:5: data.train.src: give either path or src and tgt, not both",
            "x.yaml:5: data.train.split: plain text has no split; remove it",
        ],
    ),
    "three-way tying of two vocabularies": Wrong(
        "tokenizer: {joint: false}\nmodel:\n  tied_embeddings: three_way\n",
        [
            "x.yaml:4: model.tied_embeddings: three_way needs one vocabulary; "
            "set tokenizer.joint: true"
        ],
    ),
    "three-way tying of two sizes": Wrong(
        "model:\n  tied_embeddings: three_way\n  encoder: {embedding_dim: 8}\n",
        [
            "x.yaml:3: model.tied_embeddings: three_way needs equal embedding_dim in encoder "
            "and decoder, not 8 and 256"
        ],
    ),
    "bridge that does not fit": Wrong(
        "model:\n  bridge: copy\n  decoder: {num_layers: 1, hidden_size: 256}\n",
        [
            "x.yaml:3: model.bridge: copy needs equal hidden_size in encoder and decoder, "
            "not 512 (both directions) and 256"
        ],
    ),
    "depths that are none": Wrong(
        "model:\n  bridge: copy\n  decoder: {num_layers: true}\n"
        "  encoder: {pyramid_layers: true}\n",
        [
            "x.yaml:4: model.decoder.num_layers: must be a whole number, not true",
            "x.yaml:5: model.encoder.pyramid_layers: must be a whole number, not true",
        ],
    ),
    "plain products of different sizes": Wrong(
        "model:\n  decoder:\n    attention: dot\n    hidden_size: 100\n",
        [
            "x.yaml:4: model.decoder.attention: dot needs a decoder.hidden_size of 512, the "
            "encoder's output, not 100; or use luong"
        ],
    ),
    "cells that cannot do it": Wrong(
        "model:\n"
        "  encoder: {rnn_type: ssru, transition_depth: 2}\n"
        "  decoder:\n    rnn_type: mingru\n"
        "  recurrent_dropout: 0.1\n"
        "  weight_dropout: 0.2\n",
        [
            "x.yaml:3: model.encoder.transition_depth: ssru takes one step per token; set 1, "
            "or rnn_type: gru",
            "x.yaml:6: model.recurrent_dropout: ssru and mingru have no recurrent weights; set 0, "
            "or another rnn_type",
            "x.yaml:7: model.weight_dropout: ssru and mingru have no recurrent weights; set 0, "
            "or another rnn_type",
        ],
    ),
    "forget gates of none": Wrong(
        "model:\n  forget_bias: 2\n  encoder: {rnn_type: rnn_relu}\n  decoder: {rnn_type: gru}\n",
        ["x.yaml:3: model.forget_bias: gru and rnn_relu have no forget gate; set null"],
    ),
    "language model without recurrent weights": Wrong(
        "data: {tgt: de, train: d/train, dev: d/dev}\n"
        "model:\n  type: language_model\n  weight_dropout: 0.2\n  decoder: {rnn_type: mingru}\n",
        [
            "x.yaml:4: model.weight_dropout: ssru and mingru have no recurrent weights; set 0, "
            "or another rnn_type",
        ],
    ),
    "language model without forget gates": Wrong(
        "data: {tgt: de, train: d/train, dev: d/dev}\n"
        "model: {type: language_model, forget_bias: 1, decoder: {rnn_type: gru}}\n",
        ["x.yaml:2: model.forget_bias: gru has no forget gate; set null"],
    ),
    "both ways and in turn": Wrong(
        "model:\n  encoder:\n    alternating: true\n    bidirectional: true\n",
        [
            "x.yaml:4: model.encoder.alternating: bidirectional layers read both ways already; "
            "set bidirectional: false"
        ],
    ),
    "pyramid without layers": Wrong(
        "model:\n  encoder: {pyramid_layers: 2, num_layers: 2}\n",
        ["x.yaml:3: model.encoder.pyramid_layers: must be less than num_layers (2), not 2"],
    ),
    "feeding without attention": Wrong(
        "model:\n  decoder:\n    attention: null\n    feeding: input\n",
        [
            "x.yaml:5: model.decoder.feeding: without attention there is nothing to feed; "
            "set null, or give decoder.attention"
        ],
    ),
    "nothing of the source": Wrong(
        "model:\n  bridge: null\n  decoder: {attention: null}\n",
        [
            "x.yaml:3: model.bridge: without attention the decoder sees nothing of the source; "
            "set dense, or give decoder.attention"
        ],
    ),
    "gates and output models without attention": Wrong(
        "model:\n  decoder:\n    attention: null\n    context_gate: true\n    lexical: true\n"
        "    copy_attention: true\n",
        [
            f"x.yaml:{line}: model.decoder.{key}: needs attention; set false, or give "
            "decoder.attention"
            for line, key in ((5, "context_gate"), (6, "lexical"), (7, "copy_attention"))
        ],
    ),
    "heads of a kind that has one": Wrong(
        "model:\n  decoder:\n    attention: coverage\n    attention_heads: 4\n",
        [
            "x.yaml:5: model.decoder.attention_heads: coverage attention has one head; set 1, or "
            "use scaled_dot"
        ],
    ),
    "heads that do not fit": Wrong(
        "model:\n  decoder:\n    attention_heads: 5\n",
        [
            "x.yaml:4: model.decoder.attention_heads: must divide decoder.hidden_size (512) "
            "without a remainder, not 5"
        ],
    ),
    "copying between two vocabularies": Wrong(
        "tokenizer: {joint: false}\nmodel:\n  decoder: {copy_attention: true}\n",
        ["x.yaml:4: model.decoder.copy_attention: needs one vocabulary; set tokenizer.joint: true"],
    ),
    "copying pieces that the target lacks": Wrong(
        "tokenizer: {tgt_min_count: 1}\nmodel:\n  decoder: {copy_attention: true}\n",
        ["x.yaml:2: tokenizer.tgt_min_count: what is copied must be a piece of the target; set 0"],
    ),
    "pieces of the target chosen among none that are joint": Wrong(
        "tokenizer: {tgt_min_count: 1, joint: false}\n",
        ["x.yaml:2: tokenizer.tgt_min_count: chooses among joint pieces; set 0"],
    ),
    "words left out": Wrong(
        "tokenizer: {tgt_min_count: 1, type: word}\n",
        [
            "x.yaml:2: tokenizer.tgt_min_count: a word tokenizer has no smaller pieces to spell "
            "with; set 0"
        ],
    ),
    "sampling pieces that are left out": Wrong(
        "tokenizer: {tgt_min_count: 1, sampling: 0.1}\n",
        ["x.yaml:2: tokenizer.tgt_min_count: sampling draws pieces that aren't counted; set 0"],
    ),
    "leaving pieces of an existing model out": Wrong(
        "tokenizer: {tgt_min_count: 1, model: some.model}\n",
        [
            "x.yaml:2: tokenizer.tgt_min_count: an existing model has its own pieces; set 0",
            "x.yaml:2: tokenizer.model: no such file 'some.model'; paths start at the working "
            "directory",
        ],
    ),
    "copying from nowhere": Wrong(
        "model:\n  decoder:\n    attention: monotonic\n    copy_attention: true\n",
        [
            "x.yaml:5: model.decoder.copy_attention: monotonic attention may look nowhere; "
            "use another kind"
        ],
    ),
    "two ways of clipping": Wrong(
        "training:\n  clip_grad_norm: 1\n  clip_grad_value: 1\n",
        [
            "x.yaml:4: training.clip_grad_value: clip_grad_norm is given too; "
            "set one of them to null"
        ],
    ),
    "float16 without a GPU": Wrong(
        "device: cpu\ntraining: {precision: float16}\n",
        [
            "x.yaml:3: training.precision: float16 needs a GPU, not device: cpu; "
            "use auto or device: cuda"
        ],
    ),
    "missing first run": Wrong(
        "training: {init_from: runs/a}\n",
        [
            "x.yaml:2: training.init_from: no trained run 'runs/a' "
            f"(it has no checkpoints/best.safetensors); {MISSING}"
        ],
    ),
    "two tokenizers": Wrong(
        "tokenizer: {model: d/train.en}\ntraining: {init_from: r}\n",
        [
            "x.yaml:2: tokenizer.model: the tokenizer comes from training.init_from; "
            "remove one of them"
        ],
        files={"r/checkpoints/best.safetensors": ""},
    ),
    "missing teachers and text": Wrong(
        "data:\n  src: en\n  tgt: de\n  train: d/train\n  dev: d/dev\n"
        "  distillation: {runs: [r, s]}\n  back_translation:\n    runs: t\n    text: d/mono.de\n",
        [
            "x.yaml:6: data.distillation.runs[1]: no trained run 's' "
            f"(it has no checkpoints/best.safetensors); {MISSING}",
            "x.yaml:8: data.back_translation.runs: no trained run 't' "
            f"(it has no checkpoints/best.safetensors); {MISSING}",
            f"x.yaml:9: data.back_translation.text: no such file 'd/mono.de'; {MISSING}",
        ],
        files={"r/checkpoints/best.safetensors": ""},
    ),
    "nobody to translate back": Wrong(
        "data:\n  src: en\n  tgt: de\n  train: d/train\n  dev: d/dev\n"
        "  back_translation: {text: d/train.de}\n",
        [
            "x.yaml:6: data.back_translation.text: needs runs that translate, and text to be "
            "translated; give both or neither"
        ],
    ),
    "nothing to train on": Wrong(
        "data:\n  src: en\n  tgt: de\n  train: d/train\n  dev: d/dev\n"
        "  distillation: {keep_original: false}\n",
        [
            "x.yaml:6: data.distillation.keep_original: without data.distillation.runs nothing "
            "else is there to train on; name some"
        ],
    ),
    "weights for other corpora": Wrong(
        "data:\n  src: en\n  tgt: de\n  train: [d/train, d/dev]\n  dev: d/dev\n  weights: [1]\n",
        ["x.yaml:6: data.weights: 1 for 2; give one for each corpus that is trained on"],
    ),
    "weights twice": Wrong(
        "data:\n  src: en\n  tgt: de\n  train: [d/train]\n  dev: d/dev\n"
        "  weights: [1]\n  temperature: 5\n",
        ["x.yaml:6: data.weights: temperature makes weights too; remove one of them"],
    ),
    "what a stream does not have": Wrong(
        "data:\n  src: en\n  tgt: de\n  train: d/train\n  dev: d/dev\n  streaming: true\n"
        "  temperature: 5\n  distillation: {runs: teacher}\n"
        "  back_translation: {runs: teacher, text: d/dev.de}\ndecoding: {shortlist: 20}\n"
        "training: {updates_per_epoch: null}\n",
        [
            "x.yaml:7: data.temperature: needs the sizes of corpora, which a stream does not tell; "
            "give data.weights instead",
            "x.yaml:8: data.distillation.runs: the translations are kept on disk; set runs: null, "
            "or data.streaming: false",
            "x.yaml:9: data.back_translation.runs: the translations are kept on disk; set runs: "
            "null, or data.streaming: false",
            "x.yaml:10: decoding.shortlist: is learnt from encoded pairs, and a stream keeps none; "
            "set 0",
            "x.yaml:11: training.updates_per_epoch: a stream has no end to count epochs by; give a "
            "number, or leave the key out",
        ],
        files={"teacher/checkpoints/best.safetensors": ""},
    ),
    "epochs by updates of what has an end": Wrong(
        "training:\n  updates_per_epoch: 100\n",
        [
            "x.yaml:3: training.updates_per_epoch: an epoch is a pass over the pairs; set null, or "
            "data.streaming: true"
        ],
    ),
    "nothing to average": Wrong(
        "training:\n  average_best: true\n",
        [
            "x.yaml:3: training.average_best: there is nothing to average; set keep_best: 5, "
            "or another number above 1"
        ],
    ),
    "reloading without a plateau": Wrong(
        "training:\n  reload_best: true\n",
        [
            "x.yaml:3: training.reload_best: goes with the falls of schedule: plateau; "
            "set that, or false"
        ],
    ),
    "decay to where it begins": Wrong(
        "training:\n  teacher_forcing_decay: linear\n",
        [
            "x.yaml:3: training.teacher_forcing_decay: there is nothing to decay to; "
            "set teacher_forcing below 1, or null"
        ],
    ),
    "cutting what is locked": Wrong(
        "model:\n  locked_dropout: true\n  weight_dropout: 0.2\ntraining:\n  truncate: 50\n",
        [
            "x.yaml:6: training.truncate: what is dropped for a whole target cannot be cut; "
            f"set null, or {key}"
            for key in ("locked_dropout: false", "weight_dropout: 0")
        ],
    ),
    "source tokens that a pyramid joins": Wrong(
        "model:\n  encoder:\n    num_layers: 2\n    pyramid_layers: 1\n  decoder:\n"
        "    lexical: true\n",
        [
            "x.yaml:7: model.decoder.lexical: pyramid_layers leave no place for each source token; "
            "set false, or 0 layers"
        ],
    ),
    "what risk knows nothing of": Wrong(
        "training:\n  objective: minimum_risk\n  r_drop: 5\n  teacher_forcing: 0.5\n",
        [
            "x.yaml:4: training.r_drop: has no part in minimum_risk; "
            "set 0, or objective: cross_entropy",
            "x.yaml:5: training.teacher_forcing: has no part in minimum_risk; "
            "set 1, or objective: cross_entropy",
        ],
    ),
    "no risk to choose between": Wrong(
        "training:\n  objective: minimum_risk\n  risk_reference: false\n  risk_samples: 1\n",
        [
            "x.yaml:5: training.risk_samples: there is nothing to choose from; set 20, or another "
            "number above 1, or risk_reference: true",
        ],
    ),
    "nothing to divide by": Wrong(
        "training:\n  optimizer: sgd\n  eps: 1e-8\n",
        ["x.yaml:4: training.eps: sgd divides by nothing; set null, or another optimizer"],
    ),
    "more best than beam": Wrong(
        "decoding: {beam_size: 3}\n",
        ["command line: decoding.n_best: must be at most beam_size (3), not 4"],
        overrides=["decoding.n_best=4"],
    ),
    "a shortlist for a model that copies": Wrong(
        "model:\n  decoder: {copy_attention: true}\ndecoding:\n  shortlist: 20\n",
        [
            "x.yaml:5: decoding.shortlist: has no part in a model that copies; set 0, or "
            "model.decoder.copy_attention: false"
        ],
    ),
    "longer than the longest": Wrong(
        "decoding:\n  min_length: 9\n  max_length: 8\n",
        ["x.yaml:3: decoding.min_length: must be less than max_length (8), not 9"],
    ),
    "a larger ratio of length than the largest": Wrong(
        "decoding:\n  max_length_ratio: 1.5\n  min_length_ratio: 2\n",
        ["x.yaml:4: decoding.min_length_ratio: must be at most max_length_ratio (1.5), not 2"],
    ),
    "groups that don't divide the beam": Wrong(
        "decoding: {diversity_groups: 2}\n",
        [
            "x.yaml:2: decoding.diversity_groups: must divide beam_size (5), which 2 does not",
        ],
    ),
    "glossary in a beam of groups": Wrong(
        "decoding: {diversity_groups: 5, glossary: g.tsv}\n",
        [
            "x.yaml:2: decoding.glossary: has no part in beams of groups; set null, or "
            "diversity_groups: 1",
        ],
        files={"g.tsv": "a\tb\n"},
    ),
    "no such glossary": Wrong(
        "decoding: {glossary: g.tsv}\n",
        [
            "x.yaml:2: decoding.glossary: no such file 'g.tsv'; paths start at the working "
            "directory",
        ],
    ),
    "coverage without attention": Wrong(
        "model: {decoder: {attention: null}}\ndecoding: {coverage_penalty: 0.2}\n",
        [
            "x.yaml:3: decoding.coverage_penalty: needs attention; set 0, or give "
            "decoder.attention",
        ],
    ),
    "settings of samples without samples": Wrong(
        "decoding:\n  temperature: 0.7\n  top_k: 9\n  top_p: 0.9\n",
        [
            f"x.yaml:{line}: decoding.{key}: has no part in a search for the best; set {off}, or "
            "sampling: true"
            for line, key, off in [(3, "temperature", 1), (4, "top_k", 0), (5, "top_p", 1)]
        ],
    ),
    "settings of search with samples": Wrong(
        "decoding:\n  sampling: true\n  n_best: 9\n  coverage_penalty: 0.1\n"
        "  early_stopping: first\n  glossary: g.tsv\n  diversity_groups: 5\n",
        [
            "x.yaml:5: decoding.coverage_penalty: has no part in samples; set 0, or sampling: "
            "false",
            "x.yaml:6: decoding.early_stopping: has no part in samples; set so_far, or sampling: "
            "false",
            "x.yaml:7: decoding.glossary: has no part in beams of groups; set null, or "
            "diversity_groups: 1",
            "x.yaml:7: decoding.glossary: has no part in samples; set null, or sampling: false",
            "x.yaml:8: decoding.diversity_groups: has no part in samples; set 1, or sampling: "
            "false",
        ],
        files={"g.tsv": "a\tb\n"},
    ),
    "an empty phrase": Wrong(
        "decoding: {banned_phrases: [a, '']}\n",
        ["x.yaml:2: decoding.banned_phrases[1]: must not be empty"],
    ),
    "sampling of characters": Wrong(
        "tokenizer:\n  type: char\n  sampling: 0.1\n",
        [
            "x.yaml:4: tokenizer.sampling: a char tokenizer has one way to segment; "
            "set 0, or type bpe or unigram"
        ],
    ),
    "half a pair of tokenizers": Wrong(
        "tokenizer:\n  src_model: d/train.en\n  joint: false\n",
        ["x.yaml:3: tokenizer.src_model: needs tgt_model beside it"],
    ),
    "all at once, no consequences": Wrong(
        "tokenizer: {joint: nein}\nmodel: {tied_embeddings: three_way}\n"
        "decoding:\n  n_best: 9\n  beam_size: five\n  min_length: 5\n  max_length: 4\n",
        [
            "x.yaml:2: tokenizer.joint: must be true or false, not 'nein'",
            "x.yaml:6: decoding.beam_size: must be a whole number, not 'five'",
            "x.yaml:7: decoding.min_length: must be less than max_length (4), not 5",
        ],
    ),
    "tab": Wrong(
        "training:\n\tseed: 1\n",
        ["x.yaml:3: a tab in the indentation; YAML wants spaces"],
    ),
    "colon in a value": Wrong(
        "name: a: b\n",
        ["x.yaml:2: a ':' out of place; check the indentation, or quote the value"],
    ),
    "open quote": Wrong(
        'name: "abc\nseed: 1\n', ["x.yaml:2: a quote that is never closed; close it"]
    ),
    "open bracket": Wrong(
        "training: {seed: 1\nseed: 2\n",
        ["x.yaml:2: a bracket that is never closed, or a missing comma; mend it"],
    ),
    "no colon": Wrong(
        "training:\n  seed 1\n  max_epochs: 3\n",
        ["x.yaml:4: a ':' out of place; check the indentation, or quote the value"],
    ),
    "empty file": Wrong("# data: to do\n", ["x.yaml:1: empty; write `key: value` lines"]),
    "nothing to choose from": Wrong(
        "decoding: {mbr: chrf, beam_size: 1}\n",
        ["x.yaml:2: decoding.mbr: there is nothing to choose from; set beam_size above 1, or null"],
    ),
    "one sample to choose from": Wrong(
        "decoding: {mbr: chrf, sampling: true}\n",
        ["x.yaml:2: decoding.mbr: there is nothing to choose from; set n_best above 1, or null"],
    ),
    "nothing to replace": Wrong(
        "decoding: {replace_unk: true}\n",
        [
            "x.yaml:2: decoding.replace_unk: there is no <unk> to replace; set ban_unk: false, or "
            "replace_unk: false"
        ],
    ),
    "nothing to copy from": Wrong(
        "model:\n  decoder: {attention: null, feeding: null}\n"
        "decoding: {replace_unk: true, ban_unk: false}\n",
        [
            "x.yaml:4: decoding.replace_unk: knows what to copy from attention only; set false, or "
            "give the model attention"
        ],
    ),
    "list": Wrong("- data: 1\n", ["x.yaml:1: not a section of keys; write `key: value` lines"]),
    "mistake in the base": Wrong(
        "base: sub/b.yaml\ntraining: {seed: 1}\n",
        [
            "x.yaml:3: training.seed: unknown key; it belongs at the top level",
            "sub/b.yaml:3: training.batch_size: must be at least 1, not 0",
        ],
        files={"sub/b.yaml": "base: c.yaml\ntraining:\n  batch_size: 0\n", "sub/c.yaml": "seed: 3"},
    ),
    "missing base": Wrong(
        "base: b.yaml\n",
        ["x.yaml:2: base: no such file 'b.yaml'; it is looked for beside this one"],
    ),
    "circle of bases": Wrong(
        "base: b.yaml\n",
        ["b.yaml:2: base: leads back to x.yaml; a file cannot inherit from itself"],
        files={"b.yaml": "seed: 1\nbase: x.yaml\n"},
    ),
    "mistakes on the command line": Wrong(
        "seed: 1\n",
        [
            "command line: 'seed': not of the form KEY=VALUE",
            "command line: seed: must be at least 0 and less than 2147483648, not -1",
            "command line: seed: given twice; keep one",
            "command line: decoding.beam_sise: unknown key; did you mean 'beam_size'?",
        ],
        overrides=["seed", "seed=-1", "seed=2", "decoding.beam_sise=2"],
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    for name in ("train.en", "train.de", "dev.en", "dev.de"):
        (tmp_path / "d" / name).write_text("a b\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", WRONG)
def test_wrong_recipe_gives_its_lines_only(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = WRONG[name]
    for file, text in {"x.yaml": wrong.recipe, **wrong.files}.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
    status = main(["recipe", "x.yaml", *wrong.overrides])
    output, errors = capsys.readouterr()
    assert errors.splitlines() == wrong.lines
    assert (status, output) == (2, "")


def test_missing_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "y.yaml"]) == 2
    assert capsys.readouterr() == ("", "y.yaml: no such file; check the name\n")


def test_folder_for_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "d"]) == 2
    assert capsys.readouterr() == (
        "",
        "d: cannot read 'd' (is a directory); name a file that you may read\n",
    )


def test_not_utf8(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "x.yaml").write_bytes(DATA.encode() + "name: München\n".encode("latin-1"))
    assert main(["train", "x.yaml"]) == 2
    assert capsys.readouterr() == ("", "x.yaml:2: not UTF-8; save the file as UTF-8\n")


def test_the_right_recipe_is_right(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "x.yaml").write_text(DATA, encoding="utf-8")
    assert main(["recipe", "x.yaml"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", ["run", "prepare", "train", "recipe"])
def test_recipes_are_refused_without_torch(command: str, folder: Path) -> None:
    (folder / "x.yaml").write_text(DATA + "training: {seed: 1}\n", encoding="utf-8")
    code = (
        "import sys; from seq2seq.cli import main; "
        f"status = main(['{command}', 'x.yaml']); "
        "heavy = {'torch', 'datasets', 'numpy', 'pyarrow'} & set(sys.modules); "
        "sys.exit(99 if heavy else status)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder
    )
    message = "x.yaml:2: training.seed: unknown key; it belongs at the top level\n"
    assert (result.returncode, result.stdout, result.stderr) == (2, "", message)
