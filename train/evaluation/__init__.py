"""`train evaluate` and `train ladder`: how good a run is, and how far tags steer it.

In: a run folder and held-out pairs. Out: figures such as CIEDE2000, KID, line F1 and obedience.
Builds on `training`, `coloring`, `model`, `data` and `config`.
"""
