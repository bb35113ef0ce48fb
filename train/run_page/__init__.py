"""`train show`: one HTML page about a training, finished or not: curves, film strip, alarms, figures.

In: a run folder. Out: `show.html`, one file without scripts. Runs without TensorFlow.
Builds on `training` (stats), `coloring` (grids) and `config`.
"""
