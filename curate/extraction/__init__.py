"""`curate extract`: every source file once, to a record and a pair of line art and colours.

In: source files with their sidecars and tables. Out: `records/` and `pairs/` of a dataset, committed part by part.
Builds on `sources`, `signatures`, `images`, `tags`, `dataset`, `stores` and `workers`.
"""
