"""`train colorize`: line drawings and tags to colours, at any size.

In: a trained generator, drawings, tags. Out: coloured pictures and comparison grids.
Builds on `model`, `data` and `config`.
"""
