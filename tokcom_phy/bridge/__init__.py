"""Between torch and TensorFlow: tensors cross without a copy, and TensorFlow blocks train inside torch models."""

from tokcom_phy.bridge.crossing import to_tensorflow, to_torch

__all__ = ["to_tensorflow", "to_torch"]
