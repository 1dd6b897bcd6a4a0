"""These tests need TensorFlow; where it is not installed they are not collected."""

from importlib.util import find_spec

if find_spec("tensorflow") is None:
    collect_ignore_glob = ["test_*.py"]
