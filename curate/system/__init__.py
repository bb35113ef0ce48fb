"""What every other room stands on: errors, files, paths, hashing, locks and signals.

In: paths, bytes and file names. Out: files that are written whole or not at all, digests, locks, one-line errors.
Builds on the standard library alone, so that `train` can import it without loading anything else of `curate`.
"""
