"""Before a run: recipes, what is out of date, and what a run of any size will cost.

In: a recipe file, existing folders, a number of pictures. Out: options, the stages left to do, time, memory and disk.
Builds on every stage room.
"""
