"""Datasets and shards that lie in a store such as S3: listed, copied, worked on locally, sent back.

In: a folder here and an address there. Out: the same files at the other end, checked by digest.
Builds on `dataset`, `workers` and `system`.
"""
