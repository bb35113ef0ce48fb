"""Single pictures as arrays: decoding, line art, the square at the model's size, PNG.

In: the bytes of one file. Out: an upright RGB array, its line art, its square, and PNG bytes.
`array_types` names the array types; `resample`, `lanczos` and `max_filter` are compiled, as libraries are slower.
Builds on `jit` and `system`. Pure functions, except that a child process renders SVG.
"""
