"""Look at data without changing it: `curate report`, `tags`, `verify` and `why`.

In: a dataset or a shard folder. Out: an HTML page, counts of tags, a list of faults, the story of one picture.
`report` makes the page: `census` counts, `count_tables` and `report_examples` choose what is shown (pictures as
`thumbnail_urls`), `html_page` renders it.
Builds on `deduplication`, `query`, `dataset`, `tags` and `system`.
"""
