"""Batches for tiny networks, and what an objective makes of them."""

import numpy as np
import torch
from tiny import random_source, random_target

from seq2seq.data.batch import Batch
from seq2seq.recipe import Training
from seq2seq.special import BOS, EOS, PAD
from seq2seq.training.progress import Progress


def section(**keys):
    return Training.model_validate({"precision": "float32", "label_smoothing": 0.1} | keys)


def make_batch(src_lengths=(3, 5, 4), tgt_lengths=(4, 2, 6)):
    src, lengths = random_source(list(src_lengths))
    out = random_target(len(tgt_lengths), max(tgt_lengths))
    for row, length in zip(out, tgt_lengths, strict=True):
        row[length - 1], row[length:] = EOS, PAD
    read = torch.cat((torch.full((len(out), 1), BOS), out[:, :-1]), dim=1)
    read[read == EOS] = PAD
    return Batch(src, src, lengths, read, out, np.arange(len(out)), sum(tgt_lengths))


def gradients(objective, model, batch, progress=None):
    model.zero_grad()
    loss = objective(model, batch, progress or Progress())
    loss.objective.backward()
    return loss, gradients_of(model)


def gradients_of(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def same(ours, expected, **tolerances):
    assert ours.keys() == expected.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, expected[name], **tolerances)
