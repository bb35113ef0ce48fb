"""`train fit`: one training from first step to finished run folder, resumable at any moment.

In: shards, a configuration, a length. Out: a run folder with snapshots, figures, samples and models.
Builds on `coloring` (grids), `model`, `data` and `config`.
"""
