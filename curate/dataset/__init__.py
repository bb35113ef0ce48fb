"""The dataset folder: its ledger, Parquet tables, decisions and opt-outs.

In: rows of records, pairs, edges and manifest from the stages. Out: the same tables, checked against their digests, so
that no stage works on damaged data. `rows` and `schema` say what a table holds, `ledger` what a folder holds.
Builds on `storage`, `tags` and `system`.
"""
