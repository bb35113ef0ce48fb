"""All pairs of 64-bit hashes within a Hamming radius, without comparing every pair.

In: an array of hashes and a radius in bits. Out: an array of row pairs, complete and in order.
`hamming` is the door, `multi_index` explains the algorithm, `bucket_join` is its inner loop, `rows_by_value` maps hash
values back to rows. Builds on `jit` only and knows nothing of pictures.
"""
