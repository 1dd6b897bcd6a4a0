"""Between torch and TensorFlow: tensors cross without a copy, and TensorFlow blocks train inside torch models."""

from tokcom_phy.bridge.crossing import to_tensorflow, to_torch
from tokcom_phy.bridge.module import TensorFlowModule

__all__ = ["TensorFlowModule", "to_tensorflow", "to_torch"]
