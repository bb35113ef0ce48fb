"""`curate dedupe`: find look-alike pictures, verify them, group them and give every record its fate.

In: `records/` and `pairs/` of a dataset. Out: `edges/` (verified look-alikes) and `manifest/` (groups, roles, splits).
`candidates` searches for pairs with near hashes and `sieve` thins them out, `compare` verifies them on any number of
workers, `edge_store` remembers the result, `verdicts` decides. `dedupe` runs the stage.
Builds on `hash_search`, `signatures`, `dataset`, `stores` and `workers`.
"""
