"""`curate shard`: pack the kept pairs into the files that training reads.

In: a dataset, and optionally a smaller manifest. Out: a shard folder, which is shards in one of three formats,
`tags.txt` with the vocabulary, and the sealed `index.json`.
`shard` is the stage: it reads the manifest with `kept_rows`, decides the order with `shard_plan`, moves the pixels with
`pack`, and writes with `formats`.
Builds on `contract`, `dataset`, `stores`, `tags` and `workers`.
"""
