"""Search for the outputs of a step function, knowing nothing of networks.

`build` makes of the recipe's section what translation calls. All searches share the `loop`: `beam`
keeps the best hypotheses (greedy search is beam 1), chosen in groups that differ (`diverse`) or
with phrases that must appear (`lexical`), and `sample` draws instead. `constraints` forbid
continuations, `penalties` turn log-probabilities into scores, `requests` say what is asked of a
single sentence.
"""
