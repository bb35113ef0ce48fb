"""`train fit`: one training from its first step to a finished run folder, resumable at any moment.

In: a shard folder, a configuration and a length. Out: a run folder with snapshots, figures, sample grids and models.
`fit` prepares and finishes a training, `training_loop` runs it, `schedule` says what each step does, and `monitor`
gathers what a training leaves to look at: figures, alarms, samples, TensorBoard.
Builds on `coloring` (grids of pictures), `model`, `data` and `config`.
"""
