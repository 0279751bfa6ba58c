"""What surrounds the search when lines of text are translated, in the order of a line's way.

`answers` reads lines of input and writes those of output, `requests` turns what is asked of a line
into ids, `shortlisting` knows the pieces that a run's sources can give. `result` is what comes out;
`forced` looks at it a second time, and `details`, `alignment` and `heatmap` tell what the model
attended to. `pairwise` compares candidates. `models` loads what predicts.
"""
