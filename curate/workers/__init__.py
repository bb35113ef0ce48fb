"""Tasks run in this process, in local processes or on a Dask cluster, with progress.

In: an importable function and tasks. Out: results in the order of the tasks.
Builds on `system`.
"""
