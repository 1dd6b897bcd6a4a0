"""Tensors that cross keep their memory and their contents; what cannot cross is refused."""

import gc
import resource
import subprocess
import sys
from collections import deque

import keras
import numpy as np
import pytest
import torch

from tokcom_phy.bridge import to_tensorflow, to_torch
from tokcom_phy.bridge.runtime import tf
from tokcom_phy.utils.errors import UserError

DTYPES = [
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128),
]


def address(tensor: tf.Tensor) -> int:
    """Where a TensorFlow tensor on the CPU lies, as NumPy sees it."""
    return np.asarray(memoryview(tensor)).ctypes.data


def values(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """Tensor of small whole numbers, which every dtype holds exactly."""
    real = torch.randint(0, 2 if dtype is torch.bool else 100, shape)
    return torch.complex(real.double(), -real.double()).to(dtype) if dtype.is_complex else real.to(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4), (0,), (3, 0, 2)], ids=str)
def test_there_and_back_is_the_same_memory(dtype, shape):
    sent = values(dtype, *shape)
    there = to_tensorflow(sent)
    back = to_torch(there)
    assert there.dtype.name == str(dtype).removeprefix("torch.")
    assert tuple(there.shape) == shape
    assert back.dtype == dtype
    assert back.device == sent.device
    assert back.data_ptr() == sent.data_ptr()
    assert torch.equal(back, sent)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64, torch.int64, torch.bool], ids=str)
def test_each_way_keeps_the_address(dtype):
    sent = values(dtype, 3, 5)
    assert address(to_tensorflow(sent)) == sent.data_ptr()
    made = tf.cast(tf.range(15), str(dtype).removeprefix("torch."))
    assert to_torch(made).data_ptr() == address(made)


def test_variable_crosses_as_its_value():
    assert to_torch(tf.Variable([1.0, 2.0])).tolist() == [1.0, 2.0]
    assert to_torch(keras.Variable([1.0, 2.0])).tolist() == [1.0, 2.0]


AWKWARD = {
    "unaligned": lambda: torch.randn(1001)[1:],
    "unaligned complex": lambda: torch.randn(1001, dtype=torch.complex64)[1:],
    "unaligned and empty": lambda: torch.randn(1001)[1:1],
    "unaligned scalar": lambda: torch.randn(1001)[7],
    "transposed": lambda: torch.randn(40, 50).T,
    "strided": lambda: torch.randn(64, 8)[:, ::2],
    "expanded": lambda: torch.randn(1, 6).expand(5, 6),
    "permuted channels": lambda: torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "single row with a wide stride": lambda: torch.randn(99).as_strided((1, 5), (99, 1)),
    "conjugated": lambda: torch.randn(30, dtype=torch.complex64).conj(),
    "conjugated and transposed": lambda: torch.randn(5, 6, dtype=torch.complex128).mH,
    "negated": lambda: torch.randn(30, dtype=torch.complex64).conj().imag,
    "real part": lambda: torch.randn(30, dtype=torch.complex64).real,
    "requires a gradient": lambda: torch.randn(30, requires_grad=True),
    "has a gradient function": lambda: torch.randn(30, requires_grad=True) * 2,
    "parameter": lambda: torch.nn.Parameter(torch.randn(30)),
}


@pytest.mark.parametrize("make", AWKWARD.values(), ids=AWKWARD)
def test_awkward_tensors_can_be_computed_with(make):
    """TensorFlow's kernels, which abort the process on memory that they do not like, see the right values."""
    sent = make()
    received = to_torch(tf.gather(tf.reshape(to_tensorflow(sent), [-1]) + 1, tf.range(sent.numel())))
    assert not received.requires_grad
    assert torch.equal(received, sent.detach().resolve_conj().resolve_neg().flatten() + 1)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: torch.eye(3).to_sparse(), r"sparse_coo tensor .*\.to_dense\(\)"),
        (lambda: torch.eye(3).to_sparse_csr(), r"sparse_csr tensor .*\.to_dense\(\)"),
        (lambda: torch.nested.nested_tensor([torch.ones(2)], layout=torch.jagged), "nested tensor"),
        (lambda: torch.zeros(3, dtype=torch.complex32), "dtype complex32"),
        (lambda: torch.zeros(3).to(torch.float8_e5m2), "dtype float8_e5m2"),
        (lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "dtype qint8"),
        (lambda: torch.ones(3, device="meta"), "on 'meta' .* sees CPU:0"),
        (lambda: [1.0, 2.0], "takes a torch tensor, not list"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_cannot_cross_to_tensorflow_is_refused_in_one_line(make, reason):
    with pytest.raises(UserError, match=reason) as refusal:
        to_tensorflow(make())
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: tf.constant("text"), "dtype string"),
        (lambda: tf.Variable(1.0).handle, "dtype resource"),
        (lambda: tf.ragged.constant([[1], [2, 3]]), "dense TensorFlow tensor, not RaggedTensor"),
        (lambda: tf.sparse.eye(3), "dense TensorFlow tensor, not SparseTensor"),
        (lambda: np.ones(3), "dense TensorFlow tensor, not ndarray"),
    ],
)
def test_what_cannot_cross_to_torch_is_refused_in_one_line(make, reason):
    with pytest.raises(UserError, match=reason) as refusal:
        to_torch(make())
    assert "\n" not in str(refusal.value)


def test_tensor_inside_vmap_is_refused():
    with pytest.raises(UserError, match=r"outside torch\.func and torch\.vmap"):
        torch.vmap(lambda x: to_torch(to_tensorflow(x)))(torch.ones(3, 2))


def test_tensor_without_a_value_is_refused():
    with pytest.raises(UserError, match=r"has no value while a tf\.function is being traced"):
        tf.function(to_torch)(tf.ones(3))


def make_tensorflow(number: int, size: int) -> tf.Tensor:
    return tf.fill([size], tf.constant(number, tf.float32))


def make_torch(number: int, size: int) -> torch.Tensor:
    return torch.full((size,), float(number))


@pytest.mark.parametrize(
    ("make", "cross", "holds"),
    [
        (make_torch, to_tensorflow, lambda tensor, number: bool(tf.reduce_all(tensor == float(number)))),
        (make_tensorflow, to_torch, lambda tensor, number: bool((tensor == float(number)).all())),
    ],
    ids=["to tensorflow", "to torch"],
)
def test_no_tensor_dies_early_nor_stays(make, cross, holds):
    """10,000 crossings whose originals are dropped at once, while others of the same sizes ask for their memory."""
    sizes = [16, 1000, 4096, 50_000]
    alive = deque()
    before = 0
    for number in range(10_000):
        size = sizes[number % len(sizes)]
        alive.append((number, cross(make(number, size))))
        make_torch(-1, size), make_tensorflow(-1, size)
        if number % 1000 == 0:
            gc.collect()
        if len(alive) > 40:
            made, tensor = alive.popleft()
            assert holds(tensor, made)
        if number == 1000:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000, f"{grown / 1000:.0f} MB more; what crossed holds 500 MB in all"


def test_chain_of_crossings_outlives_each_original():
    tensor = torch.arange(5000.0)
    for _ in range(100):
        tensor = to_torch(to_tensorflow(tensor))
    gc.collect()
    torch.full((5000,), -1.0)
    assert torch.equal(tensor, torch.arange(5000.0))


def test_tensorflow_starts_silently_and_lets_its_memory_grow():
    code = (
        "import os, torch; from tokcom_phy.bridge import to_tensorflow; from tokcom_phy.bridge.runtime import tf; "
        "import keras; keras.layers.Dense(3)(to_tensorflow(torch.ones(2, 4))); "
        "tf.function(lambda x: x + 1)(tf.ones(3)); "
        "print(os.environ['TF_FORCE_GPU_ALLOW_GROWTH'], keras.backend.backend())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert (run.stderr, run.stdout) == ("", "true tensorflow\n")
