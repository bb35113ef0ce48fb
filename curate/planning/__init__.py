"""What to know before a run: recipes, which stages are up to date, and what a run of any size costs.

In: a recipe file, existing folders, a number of pictures. Out: the options of each stage, the reason why a stage has
work to do, and estimates of time, memory and disk.
`recipe` reads recipes (lines found by `toml_lines`), `staleness` compares hashes, `plan` adds up the `cost_model`.
Builds on every stage room.
"""
