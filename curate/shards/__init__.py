"""`curate shard`: kept pairs packed into the files that training reads.

In: a manifest and the pairs of its dataset. Out: shards in one of three formats, the vocabulary and a sealed index.
Builds on `contract`, `dataset`, `stores`, `tags` and `workers`.
"""
