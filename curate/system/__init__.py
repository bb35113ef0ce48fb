"""What every other room stands on: errors, files, hashing, locks, signals and storage.

In: paths, bytes and file names. Out: files that are written whole or not at all, digests, and one-line errors.
Builds on nothing but the standard library; only `storage` (stores such as S3) and `jit` (numba) load packages.
`train` may import `errors`, `files`, `hashing`, `lock` and `signals` from here.
"""
