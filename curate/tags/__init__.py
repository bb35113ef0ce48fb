"""Tags as text: normalised, renamed by alias files, read from sidecar files and from metadata tables.

In: JSON, CSV, text and Parquet files that describe pictures. Out: one Sidecar per picture, with normalised tags,
rating, score, licence and artist; and which words of a tag are colours.
Builds on `system` and `storage`.
"""
