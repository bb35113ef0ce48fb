"""All pairs of 64-bit hashes within a Hamming radius, complete, by multi-index hashing.

In: arrays of hashes and a radius. Out: arrays of row pairs.
Builds on `system`. Knows nothing of pictures.
"""
