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
Score = Callable[[float, int], float]
"""(Log-probability, length with the end mark) -> what hypotheses are ranked by."""
Bonus = Callable[[Sequence[int], bool], float]
"""(Tokens, whether complete) -> what a score gets on top."""


def nothing(tokens: Sequence[int], complete: bool) -> float:
    return 0.0


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normalised(x, weight, bias=0.0):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * weight + bias


def normalised_gates(w, side, groups, x):
    """Each group of gates normalised by itself, `side` being input or hidden."""
    parts = np.split(x, np.cumsum(groups)[:-1] * len(x) // sum(groups))
    gains = [w[f"{side}_norm.norms.{i}.weight"] for i in range(len(groups))]
    return np.concatenate([normalised(*both) for both in zip(parts, gains, strict=True)])


def lstm_gates(gates, cell, seen):
    enter, forget, new, leave = np.split(gates, 4)
    cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(new)
    return sigmoid(leave) * np.tanh(seen(cell)), cell


def gru_gates(x, h, hidden):
    reset_x, update_x, new_x = np.split(x, 3)
    reset_h, update_h, new_h = np.split(h, 3)
    update = sigmoid(update_x + update_h)
    new = np.tanh(new_x + sigmoid(reset_x + reset_h) * new_h)
    return (1 - update) * new + update * hidden


def lstm_cell(x, state, factor, w):
    gates = w["weight_ih"] @ x + w["bias_ih"] + w["weight_hh"] @ (factor * state[0]) + w["bias_hh"]
    return lstm_gates(gates, state[1], lambda cell: cell)


def gru_cell(x, state, factor, w):
    x, h = w["weight_ih"] @ x + w["bias_ih"], w["weight_hh"] @ (factor * state[0]) + w["bias_hh"]
    return (gru_gates(x, h, state[0]),)


def plain_cell(activate):
    def cell(x, state, factor, w):
        x = w["weight_ih"] @ x + w["bias_ih"]
        return (activate(x + w["weight_hh"] @ (factor * state[0]) + w["bias_hh"]),)

    return cell


def ln_lstm_cell(x, state, factor, w):
    x = normalised_gates(w, "input", [4], w["weight_ih"] @ x) + w["bias_ih"]
    h = normalised_gates(w, "hidden", [4], w["weight_hh"] @ (factor * state[0])) + w["bias_hh"]
    norm = w["step.cell_norm.weight"], w["step.cell_norm.bias"]
    return lstm_gates(x + h, state[1], lambda cell: normalised(cell, *norm))


def ln_gru_cell(x, state, factor, w):
    x = normalised_gates(w, "input", [2, 1], w["weight_ih"] @ x) + w["bias_ih"]
    h = normalised_gates(w, "hidden", [2, 1], w["weight_hh"] @ (factor * state[0])) + w["bias_hh"]
    return (gru_gates(x, h, state[0]),)


def ssru_cell(x, state, factor, w):
    forget, new = np.split(w["weight_ih"] @ x + w["bias_ih"], 2)
    return (sigmoid(forget) * state[0] + (1 - sigmoid(forget)) * new,)


def mingru_cell(x, state, factor, w):
    forget, new = np.split(w["weight_ih"] @ x + w["bias_ih"], 2)
    update = 1 - sigmoid(forget)
    new = np.where(new >= 0, new + 0.5, sigmoid(new))
    return ((1 - update) * state[0] + update * new,)


def deep_gru_cell(x, state, factor, w):
    """The steps after the first read no input."""
    hidden = state[0]
    depth = sum(name.startswith("weight_hh") for name in w)
    x = w["weight_ih"] @ x
    for level in range(depth):
        h = w[f"weight_hh_{level}"] @ (factor * hidden) + w[f"bias_hh_{level}"]
        hidden = gru_gates(x + w[f"bias_ih_{level}"], h, hidden)
        x = 0 * x
    return (hidden,)


RECURRENT_CELLS = {
    "rnn_tanh": plain_cell(np.tanh),
    "rnn_relu": plain_cell(lambda x: np.maximum(x, 0)),
    "gru": gru_cell,
    "lstm": lstm_cell,
    "ln_lstm": ln_lstm_cell,
    "ln_gru": ln_gru_cell,
    "ssru": ssru_cell,
    "mingru": mingru_cell,
    "deep_gru": deep_gru_cell,
}


NUM_GATES = {"rnn_tanh": 1, "rnn_relu": 1, "ssru": 2, "mingru": 2, "lstm": 4, "ln_lstm": 4}
"""Of cells; three if not here."""


def recurrent(
    kind,
    layers: Sequence[Sequence[Weights]],
    inputs,
    state=None,
    *,
    alternating=False,
    residual=False,
    on_top=False,
    pyramid_layers=0,
    hidden_factors=None,
):
    """Run a stack, weights by layer and direction, over one sequence (T, E).

    Takes and returns state as one tuple of vectors per layer and direction, in torch's order.
    """
    cell, num_states = RECURRENT_CELLS[kind], 2 if kind.endswith("lstm") else 1
    final = []
    for number, directions in enumerate(layers):
        below = inputs
        joins = 1 <= number <= pyramid_layers
        if joins:
            steps = [*inputs, np.zeros_like(inputs[0])]
            pairs = range(0, len(inputs), 2)
            inputs = np.array([np.concatenate((steps[t], steps[t + 1])) for t in pairs])
        sides = []
        for side, weights in enumerate(directions):
            zeros = np.zeros(len(weights["weight_ih"]) // NUM_GATES.get(kind, 3))
            current = (zeros,) * num_states if state is None else state[len(final)]
            backwards = side == 1 or (alternating and number % 2 == 1)
            outputs = []
            for x in inputs[::-1] if backwards else inputs:
                factor = 1.0 if hidden_factors is None else hidden_factors[len(final)]
                current = cell(x, current, factor, weights)
                outputs.append(np.maximum(current[0], 0) if kind == "ssru" else current[0])
            sides.append(outputs[::-1] if backwards else outputs)
            final.append(current)
        inputs = np.array([np.concatenate(both) for both in zip(*sides, strict=True)])
        if residual and (number or on_top) and not joins:
            inputs = inputs + below[:, : inputs.shape[1]]
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
        joined = np.concatenate((weights["query.weight"], weights["key.weight"]), axis=1)
        inner = np.tanh(joined @ np.concatenate((query, value)))
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


def plain(log_prob: float, length: int) -> float:
    return log_prob


def gnmt(alpha: float) -> Score:
    return lambda log_prob, length: log_prob / ((5 + length) / 6) ** alpha


def average(alpha: float) -> Score:
    return lambda log_prob, length: log_prob / length**alpha


def reward(each: float) -> Score:
    return lambda log_prob, length: log_prob + each * length


def rank(found: Sequence[Found], score: Score = plain, bonus: Bonus = nothing) -> list[Found]:
    """Complete ones first, then by score, then by tokens."""

    def key(one: Found):
        log_prob, tokens, complete = one
        value = score(log_prob, len(tokens) + complete) + bonus(tokens, complete)
        return not complete, -value, tokens

    return sorted(found, key=key)


def exhaustive_search(
    continue_: Continue, limit: int, score: Score = plain, bonus: Bonus = nothing
) -> list[Found]:
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
    return rank(found, score, bonus)


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


def credit(rule: str, score: Score, log_prob: float, length: int, limit: int) -> float:
    """What an early-stopping rule expects of a live hypothesis."""
    if rule == "first":
        return -math.inf
    return max(
        score(log_prob, n) for n in (range(length, limit + 1) if rule == "never" else [length])
    )


def beam_search(
    continue_: Continue, limit: int, beam_size: int, score: Score = plain, rule: str = "so_far"
) -> list[Found]:
    """One sentence, as the module of the package says it in words."""
    return rank(diverse_search(continue_, limit, beam_size, 1, 0.0, score, rule), score)


def diverse_search(
    continue_: Continue,
    limit: int,
    beam_size: int,
    groups: int,
    strength: float,
    score: Score = plain,
    rule: str = "so_far",
) -> list[Found]:
    """Groups of a beam one after the other; a single group is beam search."""
    size = beam_size // groups
    live: list[list[tuple[float, list[int]]]] = [[(0.0, [])] for _ in range(groups)]
    found: list[list[Found]] = [[] for _ in range(groups)]
    for length in range(1, limit + 1):
        said: list[int] = []
        for group in range(groups):
            own = found[group]
            candidates = [
                (log_prob + float(more), log_prob + float(more) - strength * said.count(token),
                 token, place)
                for place, (log_prob, tokens) in enumerate(live[group])
                for token, more in enumerate(continue_(tokens))
                if more > -math.inf
            ]  # fmt: skip
            candidates.sort(key=lambda c: (-c[1], c[2], c[3]))
            grown = []
            for position, (log_prob, _, token, place) in enumerate(candidates[: 2 * size]):
                if token != EOS:
                    grown.append((log_prob, [*live[group][place][1], token]))
                elif position < size:
                    own.append((log_prob, live[group][place][1], True))
            grown = grown[:size]
            said += [tokens[-1] for _, tokens in grown]
            if length == limit:
                own += [(log_prob, tokens, False) for log_prob, tokens in grown]
            if not grown and not own:
                own += [(log_prob, tokens, False) for log_prob, tokens in live[group]]
            ended = [score(p, len(tokens) + 1) for p, tokens, complete in own if complete]
            hope = max((credit(rule, score, p, length, limit) for p, _ in grown), default=0)
            done = len(ended) >= size and hope <= max(ended)
            live[group] = [] if done else grown
        if not any(live):
            break
    return [one for own in found for one in own]


def repeats(tokens: Sequence[int], ngram: int) -> bool:
    """Whether some n tokens in a row occur twice."""
    grams = [tuple(tokens[i : i + ngram]) for i in range(len(tokens) - ngram + 1)]
    return len(set(grams)) < len(grams)


def loops(tokens: Sequence[int], times: int, longest: int = 10) -> bool:
    """Whether up to so many tokens in a row are said more often than so many times in a row."""
    return any(
        tokens[start : start + size] * (times + 1) == tokens[start : start + size * (times + 1)]
        for size in range(1, longest + 1)
        for start in range(len(tokens) - size * (times + 1) + 1)
    )


def has(tokens: Sequence[int], phrase: Sequence[int]) -> bool:
    """Whether a phrase stands in tokens."""
    starts = range(len(tokens) - len(phrase) + 1)
    return any(list(tokens[i : i + len(phrase)]) == list(phrase) for i in starts)


def chain(table: np.ndarray) -> Continue:
    """Log-probabilities that depend on the last two tokens, from a table (V, V, V)."""

    def continue_(tokens: Sequence[int]) -> np.ndarray:
        before, last = [BOS, BOS, *tokens][-2:]
        return table[before, last]

    return continue_


def edit_distance(one: Sequence, other: Sequence) -> int:
    """Fewest insertions, deletions and replacements, from the table of all prefixes."""
    table = [[i + j for j in range(len(other) + 1)] for i in range(len(one) + 1)]
    for i, j in itertools.product(range(1, len(one) + 1), range(1, len(other) + 1)):
        replaced = table[i - 1][j - 1] + (one[i - 1] != other[j - 1])
        table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, replaced)
    return table[-1][-1]
