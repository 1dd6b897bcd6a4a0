"""Blocks of every kind in torch: TensorFlow modules, Keras layers and models, Sionna's, compiled functions."""

import keras
import pytest
import torch
from tensorflow_blocks import Filter, leaf, saturate
from torch import nn
from torch.autograd import gradcheck

from tokcom_phy.bridge import TensorFlowModule
from tokcom_phy.bridge.runtime import tf


def test_tensorflow_module():
    module = TensorFlowModule(Filter())
    x = torch.randn(2, 10, requires_grad=True)
    taps = module.taps_0.detach().clone().requires_grad_()
    expected = nn.functional.conv1d(x[:, None], taps[None, None])[:, 0]
    result = module(x)
    torch.testing.assert_close(result, expected)
    result.square().sum().backward()
    torch.testing.assert_close(module.taps_0.grad, torch.autograd.grad(expected.square().sum(), taps)[0])
    module(x)
    assert module.calls_1.item() == 2


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (lambda: keras.layers.GRU(2, dtype="float64"), 1),
        (lambda: keras.layers.Conv1D(2, 2, dtype="float64"), 1),
        (lambda: keras.layers.MultiHeadAttention(2, 2, dtype="float64"), 2),
    ],
    ids=["GRU", "Conv1D", "MultiHeadAttention"],
)
def test_gradients_of_keras_layers_are_exact(make, inputs):
    arguments = [leaf(1, 3, 2)] * inputs
    module = TensorFlowModule(make(), *(argument.detach() for argument in arguments))
    assert gradcheck(lambda *_: module(*arguments), (*arguments, *module.parameters()))


def test_function_that_autograph_compiles():
    def block(x):
        for _ in tf.range(3):
            x = x * x if tf.reduce_sum(x) > 0 else x + 1.0
        return x

    assert gradcheck(TensorFlowModule(block), (leaf(4),))


def test_keras_model_of_several_inputs_and_outputs():
    inputs = [keras.Input((3,)), keras.Input((2,))]
    model = keras.Model(inputs, [keras.layers.Add()([keras.layers.Dense(2)(inputs[0]), inputs[1]]), inputs[1]])
    module = TensorFlowModule(model)
    a, b = torch.randn(4, 3), torch.randn(4, 2)
    first, second = module([a, b])
    torch.testing.assert_close(first, a @ module.kernel_0 + module.bias_1 + b)
    torch.testing.assert_close(second, b)


def test_block_of_sionna():
    from sionna.phy.mapping import Demapper

    module = TensorFlowModule(Demapper("app", "qam", 2))
    x = torch.randn(2, 8, dtype=torch.complex64, requires_grad=True)
    llr = module(x, torch.tensor(0.5))
    exact = -2 * 2**0.5 / 0.5 * torch.view_as_real(x)  # log P(1)/P(0) of Gray-labelled QPSK
    torch.testing.assert_close(llr.unflatten(-1, (-1, 2)), exact, rtol=1e-4, atol=1e-4)
    llr.sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, -4 * 2**0.5 * (1 + 1j)), rtol=1e-4, atol=1e-4)


def test_block_that_xla_compiles():
    assert gradcheck(TensorFlowModule(tf.function(saturate, jit_compile=True)), (leaf(3),))


def test_shapes_that_vary_are_compiled_at_most_twice_a_rank():
    traces = []

    def block(x):
        traces.append(x.shape)
        return x * 2

    module = TensorFlowModule(block)
    for size in range(1, 30):
        assert module(torch.ones(size, 3)).shape == (size, 3)
    assert len(traces) <= 2
    for size in range(1, 30):
        module(torch.ones(7, size))
    assert len(traces) <= 3
