"""TensorFlow blocks inside torch models: exact gradients, parameters that torch trains, and the ways they are used."""

import gc

import keras
import pytest
import torch
from tensorflow_blocks import amplifier, dense, leaf, saturate
from torch import nn
from torch.autograd import gradcheck
from torch.utils.checkpoint import checkpoint

from tokcom_phy.bridge import TensorFlowModule
from tokcom_phy.bridge.runtime import tf
from tokcom_phy.radio.power import rapp
from tokcom_phy.utils.errors import UserError


def polar(x):
    return tf.abs(x), tf.math.angle(x)


def several(x, z):
    return {"product": tf.math.real(z) * x, "parts": [tf.math.imag(z), tf.exp(z) / (2 + tf.math.conj(z) * z)]}


@pytest.mark.parametrize("block", [saturate, tf.math.cumsum, tf.linalg.matmul], ids=lambda f: f.__name__)
def test_gradients_are_exact_for_real_tensors(block):
    arguments = (leaf(3, 3), leaf(3, 3)) if block is tf.linalg.matmul else (leaf(3, 4),)
    assert gradcheck(TensorFlowModule(block), arguments)


@pytest.mark.parametrize("block", [amplifier, polar, tf.exp, tf.signal.fft, tf.math.square], ids=lambda f: f.__name__)
def test_gradients_are_exact_for_complex_tensors(block):
    assert gradcheck(TensorFlowModule(block), (leaf(3, 4, dtype=torch.complex128),))


def test_gradients_are_exact_for_nested_real_and_complex_results():
    module = TensorFlowModule(several)

    def flat(x, z):
        results = module(x, z)
        return results["product"], *results["parts"]

    assert gradcheck(flat, (leaf(2, 3), leaf(2, 3, dtype=torch.complex128)))


def test_gradients_of_parameters_are_exact():
    model = keras.Sequential([keras.Input((3,), dtype="float64"), dense(3, 4, "float64"), dense(4, 2, "float64")])
    module = TensorFlowModule(model)
    names = [name for name, _ in module.named_parameters()]
    assert names == ["kernel_0", "bias_1", "kernel_2", "bias_3"]

    def call(x, *parameters):
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (x,))

    assert gradcheck(call, (leaf(5, 3), *(p.detach().clone().requires_grad_() for p in module.parameters())))


def test_agrees_with_the_same_block_in_torch():
    x = leaf(50, dtype=torch.complex128)
    ours, theirs = TensorFlowModule(amplifier)(x), rapp(x, saturation_db=0.0)
    weights = torch.randn(50, dtype=torch.complex128)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad((y * weights).real.sum(), x)[0] for y in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_optimiser_trains_the_layer_as_it_would_train_torchs_own():
    layer = dense(3, 2)
    module, own = TensorFlowModule(layer), nn.Linear(3, 2)
    own.load_state_dict({"weight": module.kernel_0.T, "bias": module.bias_1})
    x, target = torch.randn(8, 3), torch.randn(8, 2)
    before = [p.detach().clone() for p in module.parameters()]
    for model in (module, own):
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        for _ in range(20):
            optimizer.zero_grad()
            (model(x) - target).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(module.kernel_0.T, own.weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(module.bias_1, own.bias, rtol=1e-4, atol=1e-5)
    assert all((p - b).abs().max() > 0.1 for p, b in zip(module.parameters(), before, strict=True))
    for held, parameter in zip(layer.get_weights(), module.parameters(), strict=True):
        torch.testing.assert_close(torch.from_numpy(held), parameter.detach(), rtol=0, atol=0)


def test_every_way_of_changing_a_parameter_holds_at_the_next_call():
    module, x = TensorFlowModule(dense(3, 2)), torch.ones(1, 3)
    module.kernel_0.data.zero_()
    assert module(x).tolist() == [[1.0, 1.0]]
    module.bias_1.data = torch.tensor([5.0, 6.0])
    assert module(x).tolist() == [[5.0, 6.0]]
    module.load_state_dict({"kernel_0": torch.ones(3, 2), "bias_1": torch.zeros(2)})
    assert module(x).tolist() == [[3.0, 3.0]]


def test_state_dict_fits_another_instance():
    first, second = (
        TensorFlowModule(keras.Sequential([keras.layers.Dense(4), keras.layers.BatchNormalization()]), torch.ones(1, 3))
        for _ in range(2)
    )
    x = torch.randn(5, 3)
    first(x)
    assert set(first.state_dict()) == {"kernel_0", "bias_1", "gamma_2", "beta_3", "moving_mean_4", "moving_variance_5"}
    assert not torch.equal(first.eval()(x), second.eval()(x))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(x), second(x))


def test_state_that_is_not_trained_is_kept_in_buffers():
    module = TensorFlowModule(keras.layers.BatchNormalization(momentum=0.9), torch.ones(1, 2))
    x = torch.randn(100, 2) + 3.0
    for _ in range(30):
        module(x)
    mean = (1 - 0.9**30) * x.mean(0)
    torch.testing.assert_close(module.moving_mean_2, mean)
    module.eval()
    module(x + 7.0)
    torch.testing.assert_close(module.moving_mean_2, mean)
    expected = (x - mean) / (module.moving_variance_3 + 1e-3).sqrt()
    torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-5)


def test_random_layer_has_the_gradient_of_what_it_drew():
    module = TensorFlowModule(keras.layers.Dropout(0.5, seed=1))
    x = torch.ones(1000, requires_grad=True)
    first, second = module(x), module(x)
    assert 300 < (first == 0).sum() < 700
    assert not torch.equal(first, second)
    first.sum().backward()
    assert torch.equal(x.grad, first.detach())
    assert torch.equal(module.eval()(x), x)


def test_sparse_gradient_of_an_embedding():
    module = TensorFlowModule(keras.layers.Embedding(10, 3), torch.tensor([0]))
    module(torch.tensor([1, 1, 7])).sum().backward()
    assert module.embeddings_0.grad.sum(1).tolist() == [0, 6, 0, 0, 0, 0, 0, 3, 0, 0]


def test_only_what_needs_a_gradient_gets_one():
    module = TensorFlowModule(dense(3, 2))
    x = torch.randn(4, 3)
    module.kernel_0.requires_grad_(False)
    module(x).sum().backward()
    assert module.kernel_0.grad is None
    assert module.bias_1.grad.tolist() == [4.0, 4.0]
    module.requires_grad_(False)
    assert not module(x).requires_grad
    assert module(x.requires_grad_()).requires_grad


def test_unused_argument_has_no_gradient():
    x, y = leaf(3), leaf(3)
    TensorFlowModule(lambda x, y: x * 2)(x, y).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
    assert y.grad is None


def test_second_derivative_is_refused_and_the_first_is_not():
    module, x = TensorFlowModule(saturate), leaf(3)
    (gradient,) = torch.autograd.grad(module(x).sum(), x, create_graph=True)
    torch.testing.assert_close(gradient, (1 - x.tanh() ** 2 + 3 * x**2))
    with pytest.raises(UserError, match="first derivatives only"):
        gradient.sum().backward()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=lambda mode: mode.__name__)
def test_without_gradients(mode):
    module = TensorFlowModule(keras.Sequential([dense(3, 4), keras.layers.BatchNormalization()]), torch.ones(1, 3))
    x = torch.randn(2, 3)
    expected = module(x)
    with mode():
        result = module(x * 1)
    assert not result.requires_grad
    torch.testing.assert_close(result, expected)
    module(x).sum().backward()


def test_several_calls_in_one_graph():
    module, own = TensorFlowModule(dense(3, 3)), nn.Linear(3, 3)
    own.load_state_dict({"weight": module.kernel_0.T, "bias": module.bias_1})
    x = torch.randn(4, 3)
    for model in (module, own):
        (model(model(x).tanh()) * model(x)).sum().backward()
    torch.testing.assert_close(module.kernel_0.grad.T, own.weight.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(module.bias_1.grad, own.bias.grad, rtol=1e-4, atol=1e-5)


def test_graph_that_is_freed_early_leaves_the_others_alone():
    module, x = TensorFlowModule(saturate), leaf(1000)
    kept = module(x)
    for _ in range(3):
        dropped = module(x) * 2
        del dropped
        gc.collect()
    kept.sum().backward()
    torch.testing.assert_close(x.grad, 1 - x.detach().tanh() ** 2 + 3 * x.detach() ** 2)


def test_graph_can_be_retained_and_is_freed_otherwise():
    x = leaf(3)
    result = TensorFlowModule(saturate)(x).sum()
    first, second = (torch.autograd.grad(result, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    result.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        result.backward()


def test_checkpointing_computes_the_same_gradient():
    module, x = TensorFlowModule(dense(3, 2)), torch.randn(4, 3, requires_grad=True)
    expected = torch.autograd.grad(module(x).square().sum(), x)[0]
    result = checkpoint(lambda x: module(x).square().sum(), x, use_reentrant=False)
    torch.testing.assert_close(torch.autograd.grad(result, x)[0], expected)


@pytest.mark.parametrize("changed", ["argument", "result", "parameter"])
def test_changing_memory_that_a_gradient_needs_is_noticed(changed):
    module = TensorFlowModule(keras.Sequential([dense(3, 3), keras.layers.Activation("tanh")]), torch.ones(1, 3))
    x = torch.randn(4, 3)
    result = module(x)
    with torch.no_grad():
        {"argument": x, "result": result, "parameter": module.kernel_0}[changed].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.sum().backward()


@pytest.mark.parametrize(
    "block", [tf.identity, lambda x: tf.reshape(x, [2, 50]), lambda x: x[5:], lambda x: [x + 0] * 2]
)
def test_result_has_memory_of_its_own(block):
    x = torch.ones(100)
    results = TensorFlowModule(block)(x)
    for result in results if isinstance(results, list) else [results]:
        assert result.sum() > 90
        result.zero_()
    assert x.sum() == 100


def test_gradients_have_memory_of_their_own():
    """TensorFlow gives one tensor as the gradient of all terms of a sum, and torch adds gradients in place."""
    x, y, weight = leaf(3), leaf(3), leaf(3)
    add = TensorFlowModule(lambda x, y: x + y)
    (add(add(x, y), y) * weight).sum().backward()
    torch.testing.assert_close(x.grad, weight.detach())
    torch.testing.assert_close(y.grad, 2 * weight.detach())


def test_arguments_may_be_nested_and_need_not_be_tensors():
    def block(signals, *, how, offset=None, weights=()):
        total = tf.add_n([signals["a"], *signals["b"]])
        total = total * weights[0] if how == "weighted" else total
        return {"total": total if offset is None else total + offset, "largest": tf.argmax(total), "none": None}

    module = TensorFlowModule(block)
    a, b, weight = (torch.full((3,), value, requires_grad=True) for value in (1.0, 2.0, 10.0))
    results = module({"a": a, "b": [b, b]}, how="weighted", weights=(weight,))
    assert results["total"].tolist() == [50.0] * 3
    assert results["largest"].item() == 0
    assert not results["largest"].requires_grad
    assert results["none"] is None
    results["total"].sum().backward()
    assert [t.grad[0].item() for t in (a, b, weight)] == [10.0, 20.0, 5.0]
    assert module({"a": a, "b": []}, how="plain", offset=1)["total"].tolist() == [2.0] * 3


def test_variable_of_a_function_is_trained_once_an_example_showed_it():
    gain = tf.Variable(2.0, name="gain")
    module = TensorFlowModule(lambda x: gain * x, torch.ones(3))
    assert list(dict(module.named_parameters())) == ["gain_0"]
    module(torch.ones(3)).sum().backward()
    assert module.gain_0.grad == 3.0
    hidden = TensorFlowModule(lambda x: gain * x)
    with pytest.raises(UserError, match=r"no parameters of the module \(gain\)"):
        hidden(torch.ones(3))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: TensorFlowModule("tanh"), "made of a function or a layer, not of str"),  # type: ignore[arg-type]
        (
            lambda: TensorFlowModule(keras.layers.Dense(3, name="first")),
            "'first' has no variables yet: give it example",
        ),
        (lambda: TensorFlowModule(dense(3, 2)).double()(leaf(1, 3)), "kernel_0 is torch.float64 and .* float32"),
        (lambda: TensorFlowModule(tf.abs)(torch.eye(3).to_sparse()), "sparse_coo tensor cannot cross"),
        (lambda: TensorFlowModule(tf.sparse.from_dense)(torch.eye(3)), "dense TensorFlow tensor, not SparseTensor"),
        (lambda: TensorFlowModule(tf.as_string)(torch.ones(3)), "dtype string cannot cross to torch"),
    ],
)
def test_mistakes_are_told_in_one_line(make, reason):
    with pytest.raises(UserError, match=reason) as mistake:
        make()
    assert "\n" not in str(mistake.value)
