"""Run tasks in this process, in local worker processes or on a Dask cluster.

In: an importable function and an iterable of tasks. Out: the results, in the order of the tasks.
A worker that dies ends the run with one line, or its tasks are retried if the caller says how.
Builds on `system`, and on `terminal` to report the cluster's size.
"""
