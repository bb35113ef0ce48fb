"""Drawings in, shards out.

The road, a module a stage:

    sample    real tagged art out of installed packages
    extract   scan > record, every file once: sidecar, decode, lineart, square, phash -> records and pairs;
              what tables say of many pictures (tables, join) goes along
    dedupe    edges > candidates (partitions and lookalikes, on every worker) > verdicts (split) -> groups, roles,
              families, fates: the manifest
    decisions what people decided, which dedupe obeys
    browse    ui (a page in the browser) > catalog (filters, postings) and gallery: look, filter, overrule
    tally     manifest -> how many pictures carry each tag, and which tags are doubtful (doubts, hues)
    select    manifest -> a smaller manifest
    shards    manifest and pairs > pack > formats (tfrecord, tarball) -> shards, vocabulary, index
    why       one picture's fate
    remove    optout (who is to stay out) > sweep: who opts out is gone, and stays out
    verify    every byte and count
    plan      what any number of pictures would take, by what was measured

`manifest` alone touches the dataset's Parquet, `tag_table` derives its long table of tags; `contract` is all that
`train` may know, `engine` runs the work.
"""

__version__ = "0.1.0"
