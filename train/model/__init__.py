"""The generator and the discriminator: layers, losses, one update, devices, saved weights.

In: batches and a configuration. Out: updated weights, and a trained generator loaded again.
Builds on `data` and `config`.
"""
