"""Single pictures as arrays: bytes to pixels, pixels to line art, squares and PNG.

In: the bytes of one file. Out: an upright RGB array, its line art, its square at the model's size, PNG bytes.
Builds on `system`. Pure functions, except that SVGs are drawn by a child process.
"""
