"""`curate dedupe`: look-alike pictures, verified, grouped and split.

In: `records/` and `pairs/` of a dataset. Out: `edges/` (verified pairs) and `manifest/` (groups, roles, splits, fates).
Search proposes, `sieve` thins out, `compare` verifies, `verdicts` decides.
Builds on `search`, `signatures`, `dataset`, `stores` and `workers`.
"""
