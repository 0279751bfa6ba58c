"""Search for the outputs of a step function, knowing nothing of networks.

`beam` searches (greedy search is beam 1), `sample` draws outputs instead, `constraints` forbid
continuations, `penalties` turn log-probabilities into scores.
"""
