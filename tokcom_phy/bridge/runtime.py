"""TensorFlow, imported quietly and modestly; whoever needs it takes it from here: ``from ….runtime import tf``.

What the environment already says about logging, memory growth and Keras' backend stands.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from tokcom_phy.utils.errors import UserError

__all__ = ["tf"]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what is written to the file behind stderr; it is shown after all if an exception ends the block.

    TensorFlow's libraries greet while they are being loaded, before they read the log level.
    """
    if sys.stderr:
        sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


if sys.modules.get("tensorflow"):
    import tensorflow as tf
else:
    try:
        with _quiet():
            import tensorflow as tf
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        raise UserError(
            'TensorFlow is not installed: in a Python environment of its own, pip install "tokcom-phy[tensorflow]"'
        ) from None

from tensorflow.python.eager.context import context_safe  # noqa: E402

_lost = False


def lost_in_fork() -> bool:
    """Whether this process was forked from one in which TensorFlow was running: its threads exist there alone, and what
    waits for them here waits for ever."""
    return _lost


def _note_fork() -> None:
    global _lost
    context = context_safe()
    _lost = context is not None and context._initialized


os.register_at_fork(after_in_child=_note_fork)
