"""Promises under attack: each module is a long run of its own, `python -m tests.faults.NAME`; see README.md."""
