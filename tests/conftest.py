"""Settings for every test, made before anything imports TensorFlow, and how tests are shared among processes."""

import os
from functools import cache

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from curate.system.hashing import usable_cores
from tests import ROOT
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

EXPENSIVE = {"trained: Path": "tests/train", "undamaged: ": "tests/faults"}
"""Fixtures that take many seconds, as tests ask for them, and the folders whose files share each."""


def group_of(nodeid: str) -> str:
    """The file of a test, or the expensive fixture that it shares with other files."""
    file = nodeid.partition("::")[0]
    text = _text(file)
    return next((name for name, folder in EXPENSIVE.items() if file.startswith(folder) and name in text), file)


@cache
def _text(file: str) -> str:
    return (ROOT / file).read_text("utf-8")


class GroupedScheduling(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """Each process of `pytest -n` takes whole groups; `--dist loadgroup` of xdist 3.8 splits them under pytest 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> GroupedScheduling:
    """Hook of pytest-xdist: how tests are shared among processes."""
    return GroupedScheduling(config, log)
