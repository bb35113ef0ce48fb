"""Drawings in, shards out."""

__version__ = "0.1.0"
