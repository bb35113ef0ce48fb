"""Shards to batches: pairs are read, decoded, augmented and stacked, as a pure function of seed and step.

In: a shard folder and a configuration. Out: batches of lines, colours, content masks and tags as TensorFlow tensors.
No iterator holds any state, so a killed training resumes from its step number alone.
Builds on `config` and on `curate.contract`, which describes a shard folder.
"""
