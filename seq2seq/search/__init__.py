"""Search for the best output of a step function, knowing nothing of networks.

`beam` searches (greedy search is beam 1), `constraints` forbid continuations, `penalties` turn
log-probabilities into scores.
"""
