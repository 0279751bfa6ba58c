"""What the package computes, computed again: slowly, one number after the other, without torch."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from seq2seq.special import BOS, EOS

Weights = Mapping[str, np.ndarray]
Found = tuple[float, list[int], bool]
"""Log-probability, tokens without the end mark, whether complete."""
Continue = Callable[[Sequence[int]], np.ndarray]
"""Tokens so far -> log-probabilities (V,) of the next one."""


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_cell(x, state, w_ih, w_hh, b_ih, b_hh):
    hidden, cell = state
    enter, forget, new, leave = np.split(w_ih @ x + b_ih + w_hh @ hidden + b_hh, 4)
    cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(new)
    return sigmoid(leave) * np.tanh(cell), cell


def gru_cell(x, state, w_ih, w_hh, b_ih, b_hh):
    (hidden,) = state
    reset_x, update_x, new_x = np.split(w_ih @ x + b_ih, 3)
    reset_h, update_h, new_h = np.split(w_hh @ hidden + b_hh, 3)
    update = sigmoid(update_x + update_h)
    new = np.tanh(new_x + sigmoid(reset_x + reset_h) * new_h)
    return ((1 - update) * new + update * hidden,)


def recurrent(rnn_type, weights: Weights, inputs, state=None, bidirectional=False):
    """Run a stack over one sequence (T, E).

    Takes and returns state as one tuple of vectors per layer and direction, in torch's order.
    """
    cell, num_states = {"lstm": (lstm_cell, 2), "gru": (gru_cell, 1)}[rnn_type]
    final = []
    num_layers = sum(name.startswith("weight_ih_l") for name in weights) // (1 + bidirectional)
    for layer in range(num_layers):
        sides = []
        for suffix in ("", "_reverse")[: 1 + bidirectional]:
            names = ("weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l")
            parameters = [weights[f"{name}{layer}{suffix}"] for name in names]
            zeros = np.zeros(parameters[1].shape[1])
            current = (zeros,) * num_states if state is None else state[len(final)]
            outputs = []
            for x in inputs[::-1] if suffix else inputs:
                current = cell(x, current, *parameters)
                outputs.append(current[0])
            sides.append(outputs[::-1] if suffix else outputs)
            final.append(current)
        inputs = np.array([np.concatenate(both) for both in zip(*sides, strict=True)])
    return inputs, final


def attend(kind, weights: Weights, query, values, past=None):
    """What comes of one query (H,) over real encoder states (S, M).

    Returns the context (M,), the weights (S,) and, of kinds that remember, what to give as the past
    (S,) at the next step; None is that of the first.
    """
    past = first_past(kind, len(values)) if past is None else past
    scores = [
        score(kind, weights, query, values, position, past) for position in range(len(values))
    ]
    if kind == "monotonic":
        shares = hard_shares(scores, past)
    else:
        shares = np.exp(np.array(scores) - max(scores))
        shares /= shares.sum()
    context = sum(share * value for share, value in zip(shares, values, strict=True))
    return context, shares, past + shares if kind == "coverage" else shares


def first_past(kind, size):
    past = np.zeros(size)
    past[0] = kind == "monotonic"
    return past


def score(kind, weights: Weights, query, values, position, past):
    """How a query likes one encoder state."""
    value = values[position]
    if kind in ("dot", "scaled_dot"):
        product = sum(q * k for q, k in zip(query, value, strict=True))
        return product if kind == "dot" else product / math.sqrt(len(query))
    if kind == "luong":
        return query @ (weights["key.weight"] @ value)
    if kind == "concat":
        inner = np.tanh(weights["joined.weight"] @ np.concatenate((query, value)))
        return (weights["energy.weight"] @ inner).item()
    prefix = "" if kind == "bahdanau" else "additive."
    inner = weights[f"{prefix}query.weight"] @ query + weights[f"{prefix}query.bias"]
    inner = inner + weights[f"{prefix}key.weight"] @ value
    if kind == "coverage":
        fertility = 2 * sigmoid(weights["fertility.weight"] @ value + weights["fertility.bias"])
        inner = inner + weights["coverage.weight"] @ (past[position] / fertility)
    if kind == "location":
        filters = weights["filters.weight"][:, 0]
        places = [position + i - filters.shape[1] // 2 for i in range(filters.shape[1])]
        around = [past[place] if 0 <= place < len(past) else 0.0 for place in places]
        inner = inner + weights["location.weight"] @ (filters @ around)
    energy = weights[f"{prefix}energy.weight"][0]
    if kind == "monotonic":
        energy = weights["scale"] * energy / math.sqrt(sum(energy**2))
        return energy @ np.tanh(inner) + weights["offset"]
    return energy @ np.tanh(inner)


def hard_shares(scores, past):
    """1 at the first position that is liked, from where the past is on."""
    shares = np.zeros(len(scores))
    for position in range(int(np.argmax(past)), len(scores)) if past.any() else ():
        if scores[position] > 0:
            shares[position] = 1
            break
    return shares


def stopping_shares(probabilities, past):
    """How likely each position is to be stopped at: every start and every walk from there."""
    shares = np.zeros(len(past))
    for start, share in enumerate(past):
        for place in range(start, len(past)):
            shares[place] += share * probabilities[place]
            share *= 1 - probabilities[place]
    return shares


def attend_with_heads(weights: Weights, heads, scaled, query, values):
    """As `attend`, with inner products of several heads."""
    query = np.split(weights["query.weight"] @ query, heads)
    keys, read = (
        [np.split(weights[f"{name}.weight"] @ value, heads) for value in values]
        for name in ("key", "value")
    )
    found = [
        attend(
            "scaled_dot" if scaled else "dot", {}, query[head], np.array([k[head] for k in keys])
        )[1]
        for head in range(heads)
    ]
    parts = [sum(found[h][s] * read[s][h] for s in range(len(values))) for h in range(heads)]
    return weights["context.weight"] @ np.concatenate(parts), sum(found) / heads


def smoothed_loss(logits, targets, smoothing) -> tuple[float, float]:
    """Label-smoothed and plain cross-entropy of logits (N, V), summed, term by term."""
    smoothed = plain = 0.0
    for row, target in zip(logits, targets, strict=True):
        normaliser = math.log(sum(math.exp(x) for x in row))
        for token, logit in enumerate(row):
            wanted = (1 - smoothing) * (token == target) + smoothing / len(row)
            smoothed -= wanted * (logit - normaliser)
        plain -= row[target] - normaliser
    return smoothed, plain


def divergence(logits_p, logits_q) -> float:
    """KL(p||q) + KL(q||p) of two rows of logits (V,), term by term."""
    p, q = (np.exp(row) / np.exp(row).sum() for row in (logits_p, logits_q))
    total = 0.0
    for one, other in zip(p, q, strict=True):
        total += one * math.log(one / other) + other * math.log(other / one)
    return total


def rank(found: Sequence[Found], alpha: float = 0.0) -> list[Found]:
    """Complete ones first, then by score, then by tokens."""

    def key(one: Found):
        log_prob, tokens, complete = one
        return not complete, -log_prob / ((5 + len(tokens) + complete) / 6) ** alpha, tokens

    return sorted(found, key=key)


def exhaustive_search(continue_: Continue, limit: int, alpha: float = 0.0) -> list[Found]:
    """Every output of at most `limit` tokens, end mark counted."""
    found = []
    vocab = range(len(continue_([])))
    for length in range(limit + 1):
        for tokens in itertools.product([t for t in vocab if t != EOS], repeat=length):
            ends = [EOS] if length < limit else []
            path = [*tokens, *ends]
            log_prob = sum(continue_(path[:t])[path[t]] for t in range(len(path)))
            if log_prob > -math.inf:
                found.append((float(log_prob), list(tokens), bool(ends)))
    return rank(found, alpha)


def greedy_search(continue_: Continue, limit: int) -> Found:
    tokens, log_prob = [], 0.0
    while len(tokens) < limit:
        row = continue_(tokens)
        best = int(np.argmax(row))
        log_prob += float(row[best])
        if best == EOS:
            return log_prob, tokens, True
        tokens = [*tokens, best]
    return log_prob, tokens, False


def beam_search(continue_: Continue, limit: int, beam_size: int, alpha=0.0) -> list[Found]:
    """One sentence, as the module of the package says it in words."""
    live, found = [(0.0, [])], []
    for length in range(1, limit + 1):
        candidates = [
            (score + float(log_prob), token, place)
            for place, (score, tokens) in enumerate(live)
            for token, log_prob in enumerate(continue_(tokens))
            if log_prob > -math.inf
        ]
        candidates.sort(key=lambda c: (-c[0], c[1], c[2]))
        grown = []
        for position, (score, token, place) in enumerate(candidates[: 2 * beam_size]):
            if token != EOS:
                grown.append((score, [*live[place][1], token]))
            elif position < beam_size:
                found.append((score, live[place][1], True))
        grown = grown[:beam_size]
        if length == limit:
            found += [(score, tokens, False) for score, tokens in grown]
        if not grown and not found:
            found = [(score, tokens, False) for score, tokens in live]
        if not grown or sum(complete for _, _, complete in found) >= beam_size:
            break
        live = grown
    return rank(found, alpha)


def repeats(tokens: Sequence[int], ngram: int) -> bool:
    """Whether some n tokens in a row occur twice."""
    grams = [tuple(tokens[i : i + ngram]) for i in range(len(tokens) - ngram + 1)]
    return len(set(grams)) < len(grams)


def chain(table: np.ndarray) -> Continue:
    """Log-probabilities that depend on the last two tokens, from a table (V, V, V)."""

    def continue_(tokens: Sequence[int]) -> np.ndarray:
        before, last = [BOS, BOS, *tokens][-2:]
        return table[before, last]

    return continue_
