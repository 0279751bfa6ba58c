"""From raw text to batches.

`corpus` reads pairs of sentences, `tokenizer` turns them into ids (`segmentation` does so at
random), `clean` drops what training can't use, `encoding` keeps the ids in memory-mapped Arrow
files, `sampler` groups them and `batch` pads a group into tensors.
"""
