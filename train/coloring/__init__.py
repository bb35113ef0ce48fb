"""`train colorize`: colours line drawings of any size as tags ask.

In: a trained generator, line drawings, tags. Out: coloured pictures, and grids that show pictures side by side.
`colorize` is the stage, `drawing` reads line art, `methods` colours drawings larger than the model's square, `grids`
lays out pictures. Builds on `model` and `data`.
"""
