"""Finding rows of a manifest by tags and column expressions.

In: a manifest and a query such as `blue_hair -solo width>=512`. Out: matching rows, or a smaller manifest.
Builds on `dataset`, `tags` and `system`.
"""
