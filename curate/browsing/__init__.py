"""`curate browse`: a page in the browser on which people look at a dataset, filter it and overrule `dedupe`.

In: a dataset. Out: an HTTP API and the page in `page/`; what people decide goes into the dataset's `decisions/`.
`browse` starts the server; `app` answers requests with `api_models`, from the `live_dataset`, which holds a `catalog`
of the manifest and the `stored_pictures`.
Builds on `web`, `audit`, `query` and `dataset`.
"""

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8765  # here, where the command line reads them without loading the stage
