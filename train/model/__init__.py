"""The generator and the discriminator: layers, losses, the updates of one step, devices, and weights on disk.

In: batches and a configuration. Out: updated weights; and a trained generator loaded again.
Builds on `data` and `config`. `gan` is the centre: `networks` and `losses` say what is trained, `optimizers` how,
`devices` where; `snapshots` and `trained_model` read and write a run folder.
"""
