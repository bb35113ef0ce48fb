"""`curate browse`: a page where people search a dataset, look at pairs and overrule dedupe.

In: a dataset. Out: an HTTP API and its page; verdicts go into the dataset's `decisions/`.
Builds on `web`, `audit`, `query` and `dataset`.
"""
