"""Where pictures come from: source folders, the tables beside them, and sample art.

In: folders or store addresses. Out: one `SourceFile` per file, with its sidecars and tables, in a fixed order.
Builds on `tags`, `images` (to draw samples), `workers` and `system`.
"""
