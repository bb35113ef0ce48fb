"""Settings for every test, set before anything imports TensorFlow."""

import os

from hypothesis import settings

from curate.system.hashing import usable_cores
from tests.browser import chromium, visit

__all__ = ["chromium", "visit"]  # fixtures

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its start-up notes would hide what a failing test prints
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # equal runs are promised on the CPU
# how many threads share an operation decides roundings: as many in this process as `train fit` has in one of its own
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, usable_cores() // 2)))
os.environ.setdefault("TF_NUM_INTEROP_THREADS", str(usable_cores()))

# A shared machine may be slow for a moment, which is no failure; CI draws the same examples each time.
settings.register_profile("nurie", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("nurie")
