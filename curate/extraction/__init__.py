"""`curate extract`: read every source file once, into a record and a pair of line art and colours.

In: source files with their sidecars and metadata tables. Out: `records/` and `pairs/` of a dataset, part by part.
`extract` runs the stage, `part` makes the records and pairs of some files, `record` those of one.
Builds on `sources`, `signatures`, `images`, `tags`, `dataset`, `stores` and `workers`.
"""
