"""What a dataset holds and whether it is sound: report, tag counts, verification, one picture's fate.

In: a dataset or shard folder. Out: an HTML report, counts, a list of faults, an explanation.
Builds on `deduplication`, `query`, `dataset`, `tags` and `system`.
"""
