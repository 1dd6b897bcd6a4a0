"""Tensors cross between torch and TensorFlow by DLPack: the memory stays where it is, whatever its size."""

import torch
from torch import Tensor
from torch.utils.dlpack import to_dlpack

from tokcom_phy.bridge.runtime import tf
from tokcom_phy.utils.errors import UserError

ALIGNMENT = 64
"""TensorFlow's kernels abort the process on memory that does not start at a multiple of this [bytes]."""

_DTYPES = {
    dtype: tf.as_dtype(str(dtype).removeprefix("torch."))
    for dtype in (
        *(torch.bool, torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.uint8, torch.uint16, torch.uint32, torch.uint64),
        *(torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128),
    )
}
_TENSORFLOW_DTYPES = frozenset(_DTYPES.values())
_CROSSING = "bool, integers, bfloat16, float16/32/64 and complex64/128"


def to_tensorflow(tensor: Tensor) -> tf.Tensor:
    """Hand a torch tensor to TensorFlow, which reads the same memory and keeps it alive.

    Copied first, because TensorFlow could not read them as they are: tensors that are not contiguous, that are lazily
    conjugated or negated, and views that start at an address off `ALIGNMENT`. TensorFlow takes tensors for constant:
    change ``tensor`` in place only when it is done with it.

    Parameters
    ----------
    tensor : bool, integer, bfloat16, float16/32/64 or complex64/128, any shape, on the CPU or a GPU
        One that requires a gradient crosses detached; `TensorFlowModule` is what gradients flow through.

    Returns
    -------
    tf.Tensor
        Of the same dtype and shape, on the same device.

    Raises
    ------
    UserError
        If the tensor is sparse, nested or quantised, of another dtype, on a device that TensorFlow does not see, or
        stands for a batch inside ``torch.vmap``.
    """
    if not isinstance(tensor, Tensor):
        raise UserError(f"to_tensorflow takes a torch tensor, not {type(tensor).__name__}")
    if tensor.layout is not torch.strided or tensor.is_nested:
        kind = "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
        raise UserError(f"a {kind} tensor cannot cross to TensorFlow: make it dense first, with .to_dense()")
    if tensor.dtype not in _DTYPES:
        name = str(tensor.dtype).removeprefix("torch.")
        raise UserError(f"a tensor of dtype {name} cannot cross to TensorFlow: convert it to one of {_CROSSING}")
    if tensor.device.type != "cpu":
        _await_gpu(tensor.device)
    tensor = tensor.detach().resolve_conj().resolve_neg().contiguous()
    try:
        address = tensor.data_ptr()
    except RuntimeError:
        raise UserError(
            "a tensor without memory of its own cannot cross to TensorFlow: call it outside torch.func and torch.vmap"
        ) from None
    if address % ALIGNMENT:
        tensor = tensor.clone()
    return tf.experimental.dlpack.from_dlpack(to_dlpack(tensor))


def to_torch(tensor: tf.Tensor | tf.Variable) -> Tensor:
    """Hand a TensorFlow tensor to torch, which reads the same memory and keeps it alive.

    TensorFlow takes its tensors for constant: clone the result before changing it in place.

    Parameters
    ----------
    tensor : bool, integer, bfloat16, float16/32/64 or complex64/128, any shape, on the CPU or a GPU
        Or a variable, TensorFlow's or Keras', which crosses as its value.

    Returns
    -------
    Tensor
        Of the same dtype and shape, on the same device; it requires no gradient.

    Raises
    ------
    UserError
        If the tensor is sparse or ragged, of another dtype, or has no value yet because a ``tf.function`` is being
        traced.
    """
    is_variable = isinstance(tensor, tf.Variable) or hasattr(tensor, "__tf_tensor__")
    if is_variable and not isinstance(tensor, tf.Tensor):
        tensor = tf.convert_to_tensor(tensor)
    if not isinstance(tensor, tf.Tensor):
        raise UserError(f"to_torch takes a dense TensorFlow tensor, not {type(tensor).__name__}")
    if not hasattr(tensor, "numpy"):
        raise UserError(f"'{tensor.name}' has no value while a tf.function is being traced: call to_torch outside it")
    if tensor.dtype not in _TENSORFLOW_DTYPES:
        raise UserError(
            f"a tensor of dtype {tensor.dtype.name} cannot cross to torch: convert it to one of {_CROSSING}"
        )
    return torch.from_dlpack(tf.experimental.dlpack.to_dlpack(tensor))


def device_name(device: torch.device) -> str:
    """What TensorFlow calls a torch device: ``"CPU:0"``, ``"GPU:1"``."""
    return "CPU:0" if device.type == "cpu" else f"GPU:{device.index}"


def _await_gpu(device: torch.device) -> None:
    """Wait until torch has computed what it was asked to on a GPU: TensorFlow works in a stream of its own."""
    if device.type != "cuda" or device.index >= len(tf.config.list_physical_devices("GPU")):
        seen = [name.removeprefix("/physical_device:") for name, _ in tf.config.list_physical_devices()]
        raise UserError(
            f"a tensor on '{device}' cannot cross to TensorFlow, which sees {' and '.join(seen)}: move it there first"
        )
    torch.cuda.current_stream(device).synchronize()
