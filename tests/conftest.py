"""Settings for every test, made before anything imports TensorFlow, and how tests are shared among processes."""

import os
from collections.abc import Generator

import pytest
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

EXPENSIVE = {"trained": "tests/train", "undamaged": "tests/faults"}
"""Fixtures that take many seconds, and the folders whose tests share them: those run in one process."""
SLOWEST_FIRST = (
    "trained",
    "undamaged",
    "test_fit.py",
    "test_gan.py",
    "test_devices.py",
    "test_precision.py",
    "test_packaging.py",
)
"""Groups that would keep one core busy alone if they were begun last."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    """Group tests by file, or by the expensive fixture that files share: each process takes whole groups."""
    shared = {
        item.path: name
        for item in items
        for name, folder in EXPENSIVE.items()
        if name in getattr(item, "fixturenames", ()) and item.nodeid.startswith(folder)
    }
    for item in items:
        item.add_marker(pytest.mark.xdist_group(shared.get(item.path, item.path.name)))
    yield  # the order is drawn here
    ranks = {name: rank for rank, name in enumerate(SLOWEST_FIRST)}
    items.sort(key=lambda item: ranks.get(shared.get(item.path, item.path.name), len(ranks)))
