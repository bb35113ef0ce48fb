"""`train serve`: a page to draw on, coloured by a trained generator.

In: a run folder. Out: an HTTP API and its page on loopback.
Builds on `coloring`, `model` and the web room of `curate`.
"""
