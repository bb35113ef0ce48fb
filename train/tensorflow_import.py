"""TensorFlow, loaded without talk."""

from __future__ import annotations

import os
import sys
import tempfile

LOG_LEVEL_VARIABLE = "TF_CPP_MIN_LOG_LEVEL"


def load_tensorflow() -> None:
    """Import TensorFlow and look for a GPU, keeping back what its C++ side says of that unless it fails.

    Set TF_CPP_MIN_LOG_LEVEL, to 0 say, to hear it.
    """
    if LOG_LEVEL_VARIABLE in os.environ:
        _import_and_find_gpus()
    else:
        os.environ[LOG_LEVEL_VARIABLE] = "2"
        load_tensorflow_quietly()


def load_tensorflow_quietly() -> None:
    """As `load_tensorflow`, in a process that has been told already how much to say."""
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            _import_and_find_gpus()
        except Exception:
            kept.seek(0)
            os.write(stderr, kept.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _import_and_find_gpus() -> None:
    import tensorflow as tf  # noqa: PLC0415  # costs seconds

    tf.config.list_physical_devices()
    sys.dont_write_bytecode = True  # AutoGraph's modules are temporary files: it removes them, but not these compiled
