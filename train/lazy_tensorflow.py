"""Import TensorFlow without its start-up messages."""

from __future__ import annotations

import os
import sys
import tempfile

LOG_LEVEL_VARIABLE = "TF_CPP_MIN_LOG_LEVEL"


def load_tensorflow() -> None:
    """Import TensorFlow and look for GPUs; messages of its C++ side are shown only if that fails.

    If TF_CPP_MIN_LOG_LEVEL is set (0 shows everything), it decides what is shown.
    """
    if LOG_LEVEL_VARIABLE in os.environ:
        _import_and_find_gpus()
    else:
        os.environ[LOG_LEVEL_VARIABLE] = "2"
        load_tensorflow_quietly()


def load_tensorflow_quietly() -> None:
    """As `load_tensorflow`, in a child process, which inherits TF_CPP_MIN_LOG_LEVEL from its parent."""
    stderr = os.dup(2)  # C++ writes to the descriptor, past sys.stderr
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            _import_and_find_gpus()
        except Exception:
            captured.seek(0)
            os.write(stderr, captured.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _import_and_find_gpus() -> None:
    import tensorflow as tf  # noqa: PLC0415  # costs seconds

    tf.config.list_physical_devices()
    sys.dont_write_bytecode = True  # AutoGraph deletes the temporary modules it writes, but not their .pyc files
