"""Datasets and shards in a store such as S3: copied, worked on in local copies, and sent back.

In: a local folder and an address such as `s3://bucket/dataset`. Out: the same files at the other end, checked by
digest (`transfer`), or a local working copy that a command uses in place of the address (`working_copy`).
Builds on `contract`, `dataset`, `workers` and `storage`.
"""
