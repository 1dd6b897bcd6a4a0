"""A TensorFlow function or Keras layer as a torch module: TensorFlow computes, torch trains."""

import inspect
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import FunctionCtx

from tokcom_phy.bridge.crossing import device_name, to_tensorflow, to_torch
from tokcom_phy.bridge.runtime import lost_in_fork, tf
from tokcom_phy.utils.errors import UserError


class TensorFlowModule(nn.Module):
    """A TensorFlow block inside a torch model.

    Forward and backward run in TensorFlow, compiled by ``tf.function``; tensors cross without a copy. Torch owns the
    block's variables: trainable ones are this module's parameters, the others its buffers. Every call hands their
    values to TensorFlow, so what an optimiser, ``load_state_dict`` or anybody else made of them holds at once.

    It is called like the block: arguments and results may be nested in lists, tuples and dictionaries, and what is no
    torch tensor is passed on as it is (each new Python value is compiled anew). A block that takes an argument
    ``training`` gets the module's training mode.

    Parameters
    ----------
    block : a function of TensorFlow tensors, ``tf.Module``, Keras layer or Keras model
    *example : Tensor, or whatever the block takes
        Arguments to run the block with once, so that a layer creates its variables and a function shows which ones it
        uses. A built layer and a function without variables need none.

    Raises
    ------
    UserError
        If the block cannot be called, Keras runs on another backend, or the layer has no variables yet.
        On a call: if an argument or a result cannot cross, the block uses a trainable variable that is none of the
        parameters, these were converted to another dtype, or the process was forked while TensorFlow was running.
        On a backward pass: if a second derivative is asked for.

    Examples
    --------
    >>> amplifier = TensorFlowModule(tf.tanh)
    >>> equalizer = TensorFlowModule(keras.layers.Dense(2), torch.zeros(1, 2))
    """

    def __init__(self, block: Callable[..., Any], *example: Any):
        super().__init__()
        _check_block(block, example)
        self.block = block
        self._example = example
        self._compile()
        for name, variable in self._parameter_homes.items():
            self.register_parameter(name, nn.Parameter(to_torch(variable).clone()))
        for name, variable in self._buffer_homes.items():
            self.register_buffer(name, to_torch(variable).clone())

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the block.

        Parameters
        ----------
        *args, **kwargs
            What the block takes, with torch tensors in place of TensorFlow's.

        Returns
        -------
        Tensor or a nest of them, as the block returns
            On the device of the first tensor among the arguments.
        """
        if lost_in_fork():
            raise UserError(
                "TensorFlow was running when this process was forked, and its threads stayed behind: start workers "
                'afresh, DataLoader(..., multiprocessing_context="spawn")'
            )
        call = _Call(self, args, kwargs)
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in call.tensors):
            results = _Differentiable.apply(call, *call.tensors)
        else:
            results = call.results(call.compute())
        return tf.nest.pack_sequence_as(call.structure, results)

    def extra_repr(self) -> str:
        return getattr(self.block, "__qualname__", None) or type(self.block).__qualname__

    def _compile(self) -> None:
        """Find the block's variables and prepare its compilation, which waits for a call."""
        self._takes_training = _takes_training(self.block)
        trainable, others = _variables(self.block, self._example, self._takes_training)
        self._parameter_homes = {f"{_short_name(v)}_{number}": v for number, v in enumerate(trainable)}
        self._buffer_homes = {f"{_short_name(v)}_{number}": v for number, v in enumerate(others, len(trainable))}
        self._traces = 0
        block = self.block

        def run(parameters: Sequence[tf.Tensor], buffers: Sequence[tf.Tensor], args: Any, kwargs: Any) -> Any:
            for variable, value in zip((*trainable, *others), (*parameters, *buffers), strict=True):
                variable.assign(value)
            return block(*args, **kwargs), [variable.read_value() for variable in others]

        self._run = tf.function(run, reduce_retracing=True)

    def _run_and_check(self, *arguments: Any) -> tuple[Any, list[tf.Tensor]]:
        """Run the block; if that compiled it, see to it that torch knows all variables to be trained."""
        results = self._run(*arguments)
        if self._traces != self._run.experimental_get_tracing_count():
            known = {v.ref() for v in (*self._parameter_homes.values(), *self._buffer_homes.values())}
            used = self._run.get_concrete_function(*arguments).variables
            strangers = sorted(
                _short_name(v) for v in used if v.trainable and _has_gradient(v) and v.ref() not in known
            )
            if strangers:
                raise UserError(
                    f"this block uses variables that are no parameters of the module ({', '.join(strangers)}): give it "
                    "example arguments, TensorFlowModule(block, example)"
                )
            self._traces = self._run.experimental_get_tracing_count()
        return results

    def __getstate__(self) -> dict[str, Any]:
        compiled = {"_run", "_parameter_homes", "_buffer_homes"}
        return {name: value for name, value in self.__dict__.items() if name not in compiled}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._compile()


class _Call:
    """One call of a module on its way through TensorFlow.

    Attributes
    ----------
    tensors : list of Tensor
        The parameters, then the tensors among the arguments.
    values : list of tf.Tensor
        The same in TensorFlow.
    sources : list of tf.Variable and tf.Tensor
        The same again, where TensorFlow takes gradients: of its variables in place of the parameters' values.
    """

    def __init__(self, module: TensorFlowModule, args: tuple[Any, ...], kwargs: dict[str, Any]):
        if module._takes_training:
            kwargs.setdefault("training", module.training)
        homes = module._parameter_homes
        parameters = [getattr(module, name) for name in homes]
        for (name, home), parameter in zip(homes.items(), parameters, strict=True):
            if home.dtype.name != str(parameter.dtype).removeprefix("torch."):
                raise UserError(
                    f"parameter {name} is {parameter.dtype} and its TensorFlow variable {home.dtype.name}: build the "
                    "block in the dtype that it is to compute in"
                )
        self.module = module
        self.buffers = [getattr(module, name) for name in module._buffer_homes]
        self.arguments = args, kwargs
        leaves = tf.nest.flatten(self.arguments)
        given = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        self.device = next((tensor.device for tensor in (*given, *parameters)), torch.device("cpu"))
        self.tensors = [*parameters, *given]
        self.values = [to_tensorflow(tensor) for tensor in self.tensors]
        crossed = self.values[len(parameters) :]
        self.sources = [*homes.values(), *crossed]
        remaining = iter(crossed)
        self._parameter_values = self.values[: len(parameters)]
        self._leaves = [next(remaining) if isinstance(leaf, Tensor) else leaf for leaf in leaves]

    def compute(self) -> list[Any]:
        """Run the block and keep its new buffers: the leaves of its results, in TensorFlow."""
        module = self.module
        args, kwargs = tf.nest.pack_sequence_as(self.arguments, self._leaves)
        with tf.device(device_name(self.device)):
            self.structure, new_buffers = module._run_and_check(
                self._parameter_values, [to_tensorflow(buffer) for buffer in self.buffers], args, kwargs
            )
        with torch.inference_mode(False):
            for name, old, new in zip(module._buffer_homes, self.buffers, map(to_torch, new_buffers), strict=True):
                if new.data_ptr() != old.data_ptr():
                    setattr(module, name, new.to(old.device))
        return tf.nest.flatten(self.structure)

    def results(self, outputs: list[Any]) -> list[Any]:
        """The leaves of the results in torch."""
        return _in_torch(outputs, self.device, [*self.tensors, *self.buffers])


def _in_torch(outputs: Sequence[Any], device: torch.device | None, taken: Sequence[Tensor]) -> list[Any]:
    """Tensors that TensorFlow computed, in torch, each in memory of its own; what is no tensor stays as it is.

    TensorFlow returns the same memory twice, or that of an argument, where it may: for a reshaped tensor, for equal
    gradients. Torch takes each tensor to be the only one there, and adds gradients in place.
    """
    spans = [(tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes) for tensor in taken]
    results = []
    for output in outputs:
        if tf.is_tensor(output):
            output = to_torch(output)
            if any(begin <= output.data_ptr() < end for begin, end in spans):
                output = output.clone()
            spans.append((output.data_ptr(), output.data_ptr() + output.nbytes))
            output = output if device is None else output.to(device)
        results.append(output)
    return results


class _Differentiable(Function):
    """A call whose gradient TensorFlow computes from the tape on which it recorded the call."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *tensors: Tensor) -> tuple[Any, ...]:
        ctx.sources = [s for s, needed in zip(call.sources, ctx.needs_input_grad[1:], strict=True) if needed]
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as ctx.tape:
            ctx.tape.watch(ctx.sources)
            ctx.outputs = call.compute()
        results = call.results(ctx.outputs)
        kept = [result for result in results if isinstance(result, Tensor)]
        ctx.mark_non_differentiable(*(r for r in kept if not (r.is_floating_point() or r.is_complex())))
        # Not to be read: they are how torch notices that memory which the tape refers to was changed in place.
        ctx.save_for_backward(*tensors, *call.buffers, *kept)
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        saved = ctx.saved_tensors
        pairs = [(o, g) for o, g in zip(ctx.outputs, gradients, strict=True) if _has_gradient(o)]
        with torch.no_grad():
            found = ctx.tape.gradient(
                [output for output, _ in pairs],
                ctx.sources,
                output_gradients=[to_tensorflow(gradient) for _, gradient in pairs],
            )
            dense = [None if gradient is None else tf.convert_to_tensor(gradient) for gradient in found]
            remaining = iter(_in_torch(dense, None, [*saved, *(g for g in gradients if g is not None)]))
            results = [next(remaining) if needed else None for needed in ctx.needs_input_grad[1:]]
        if torch.is_grad_enabled():
            results = list(_Once.apply(len(results), *results, *saved, *gradients))
        if not torch._C._autograd._get_current_graph_task_keep_graph():
            ctx.tape = ctx.sources = ctx.outputs = None  # as torch frees what it saved
        return None, *results


class _Once(Function):
    """Gradients that TensorFlow computed: they depend on the tensors behind them, in a way that torch does not know."""

    @staticmethod
    def forward(ctx: FunctionCtx, number: int, *tensors: Tensor | None) -> tuple[Tensor | None, ...]:
        return tensors[:number]

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Any, ...]:
        raise UserError("a TensorFlowModule has first derivatives only: compute this one without create_graph=True")


def _check_block(block: Any, example: tuple[Any, ...]) -> None:
    if not callable(block):
        raise UserError(f"a TensorFlowModule is made of a function or a layer, not of {type(block).__name__}")
    if not _is_keras(block):
        return
    backend = sys.modules["keras"].backend.backend()
    if backend != "tensorflow":
        raise UserError(
            f"Keras runs on {backend} here, so '{block.name}' is no TensorFlow layer: set KERAS_BACKEND=tensorflow "
            "before Keras is imported"
        )
    if not example and not block.built:
        raise UserError(
            f"layer '{block.name}' has no variables yet: give it example arguments, TensorFlowModule(layer, example)"
        )


def _is_keras(block: Any) -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(block, keras.Layer)


def _variables(block: Any, example: tuple[Any, ...], takes_training: bool) -> tuple[list[Any], list[Any]]:
    """Variables of a block that can be trained, and others; an example shows also those that a function merely uses."""
    used: Sequence[Any] = ()
    if example:
        crossed = tf.nest.map_structure(lambda leaf: to_tensorflow(leaf) if isinstance(leaf, Tensor) else leaf, example)
        with tf.GradientTape() as tape:
            block(*crossed, **({"training": False} if takes_training else {}))
        used = tape.watched_variables()
    trained = [_unwrap(variable) for variable in getattr(block, "trainable_variables", ())]
    others = [_unwrap(variable) for variable in getattr(block, "non_trainable_variables", ())]
    own = {variable.ref() for variable in (*trained, *others)}
    trained += [variable for variable in used if variable.ref() not in own]
    counters = [variable for variable in trained if not _has_gradient(variable)]
    return [variable for variable in trained if _has_gradient(variable)], others + counters


def _unwrap(variable: Any) -> tf.Variable:
    """The TensorFlow variable in one of Keras."""
    return variable if isinstance(variable, tf.Variable) else variable.value


def _takes_training(block: Any) -> bool:
    try:
        return "training" in inspect.signature(block.call if _is_keras(block) else block).parameters
    except ValueError:
        return False


def _short_name(variable: tf.Variable) -> str:
    """``kernel`` of ``sequential/dense/kernel:0``."""
    return re.sub(r"\W", "_", variable.name.split(":")[0].rsplit("/", 1)[-1])


def _has_gradient(output: Any) -> bool:
    return isinstance(output, tf.Tensor | tf.Variable) and (output.dtype.is_floating or output.dtype.is_complex)
