"""The sections of a recipe; `seq2seq.recipe` puts them together.

A key is written once: its type, default, range and documentation stand together here, and the
error messages, `seq2seq recipe --explain`, the JSON schema and `recipes/REFERENCE.md` are all
derived from it. "Off" is always `null`, `0` or `false`. `sources` are the corpora that sections
name, `files` those that aren't there, `conflicts` the values that don't go together.
"""
