"""The encoder-decoder network.

Legend of every shape: B batch, S source length, T target length, E embedding, H decoder hidden,
M encoder output, A attention keys, V vocabulary, K beam, L layers, R readout, N = B·K rows in
search. Masks are True at real tokens. `scan` <- `cells` <- `layers` <- `recurrent` <- `encoder`;
`memory` <- `additive`, `monotonic` <- `attention`; `attention` and `recurrent` <- `decoder`;
`lexical` and `copying` look at what it attended to; `seq2seq` puts them together.
"""
