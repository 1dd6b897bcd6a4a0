"""TensorFlow functions, layers and modules that the tests of the bridge wrap; importing this needs TensorFlow."""

import keras
import torch

from tokcom_phy.bridge.runtime import tf


def leaf(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def dense(width_in: int, width_out: int, dtype: str = "float32") -> keras.Layer:
    layer = keras.layers.Dense(width_out, dtype=dtype, bias_initializer="ones")
    layer.build((None, width_in))
    return layer


def amplifier(x):
    gain = (1 + tf.abs(x) ** 4) ** -0.25
    return x * tf.complex(gain, tf.zeros_like(gain))


def saturate(x):
    return tf.tanh(x) + x**3


class Filter(tf.Module):
    """A block as TensorFlow users write them: variables, one of them a counter, and a compiled call."""

    def __init__(self):
        super().__init__()
        self.taps = tf.Variable([1.0, 0.5, 0.25], name="taps")
        self.calls = tf.Variable(0, name="calls")

    @tf.function
    def __call__(self, x):
        self.calls.assign_add(1)
        return tf.nn.conv1d(x[..., None], self.taps[:, None, None], 1, "VALID")[..., 0]
