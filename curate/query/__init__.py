"""Finding rows of a manifest by tags and column expressions.

In: a manifest, and a filter such as `blue_hair -solo width>=512` (`filters`) or an expression such as
`width >= 512 and role == 'unique'` (`expressions`). Out: a mask of rows, or a smaller manifest (`selection`).
Builds on `dataset`, `tags` and `system`.
"""
