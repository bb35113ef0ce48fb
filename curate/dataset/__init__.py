"""The dataset folder: its ledger, Parquet tables, ids, decisions and opt-outs.

In: record rows and digests from the stages. Out: checked tables; nothing damaged is read without an error.
Builds on `contract`, `tags` and `system`.
"""
