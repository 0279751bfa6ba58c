"""Scores, and what they say about systems.

`metrics` are those of sacreBLEU and, of the same kind, the `rates`.
`systems` counts and scores them, `significance` tells whether two differ, `breakdown` where one is
good, `difference` in which lines, words and n-grams two of them differ, `suspicion` what looks
wrong with the text itself. `report` and `comparison` put this into words, `tables` into columns.
"""
