"""Errors, files, paths, text, hashing, locks and signals: what every other room builds on.

In: paths, bytes and text from strangers. Out: files written whole or not at all, SHA-256 digests, folder locks, errors
and names that are safe to print in one line.
Builds on the standard library alone, so `train` imports it without loading anything else of `curate`.
"""
