"""Tags as text: normalised, renamed, read from sidecar files and from tables.

In: JSON, CSV, text and Parquet files that describe pictures. Out: sorted, normalised tags and metadata per picture.
Builds on `system`.
"""
