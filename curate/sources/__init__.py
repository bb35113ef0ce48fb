"""Where pictures come from: source folders, the tables beside them, and sample art.

In: folders or store addresses. Out: one `SourceFile` per file, with its sidecars and tables, in a fixed order (`scan`);
what the tables say about each (`table_lookup`); art to try everything with (`sample_art`).
Builds on `storage`, `tags`, `images` (to draw samples), `workers` and `system`.
"""

DEFAULT_SAMPLE_SIDE_PX = 512  # here, where the command line reads it without loading the drawing of samples
