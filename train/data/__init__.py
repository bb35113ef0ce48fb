"""Shards to batches: pairs read, decoded, varied and stacked, as a pure function of seed and step.

In: a shard folder. Out: batches of (lines, colours, tags) as TensorFlow tensors.
Builds on `config` and on the contract of `curate`.
"""
