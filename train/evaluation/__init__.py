"""`train evaluate` and `train ladder`: how good a model's colours are, and how far tags decide them.

In: a run folder and a shard folder. Out: figures as one JSON object; for the ladder, a table of all presets.
*Tag adherence* is how far tags decide colours. Three measurements make it up:

* ablation: how much worse colours get with the tags of other pictures (shuffled) or with none;
* obedience: over recolours, drawings with the same lines in other colours, how often a picture is nearest to the
  colouring that its tags name;
* swap: how much one changed colour tag changes the picture where it should, and elsewhere.

Builds on `training` (the ladder trains), `coloring`, `model` and `data`.
"""
