"""`train serve`: a page to draw on, coloured by trained models.

In: run folders. Out: a page on loopback and its HTTP API, until Ctrl-C.
`loaded_models` colours, `app` answers requests, `page/` is what the browser shows.
Builds on `coloring`, `model` and `curate.web`.
"""
