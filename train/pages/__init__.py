"""`train show`: one HTML page about a training: curves, film strip, alarms.

In: a run folder. Out: `show.html`. Runs without TensorFlow.
Builds on `training` (stats), `coloring` (grids) and `config`.
"""
