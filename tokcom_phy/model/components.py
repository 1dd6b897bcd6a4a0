"""The parts of a system that an experiment may replace by its own, named by import path."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor, nn

from tokcom_phy.model.compression import COMPRESSIONS, Compression
from tokcom_phy.utils.errors import UserError, nearest, one_line
from tokcom_phy.utils.instantiate import TARGET, instantiate, source_of

Named = Mapping[str, Any]
"""A component, ``{"_target_": "module.Name", argument: value, …}``, or modality → component."""


@dataclass(frozen=True)
class Components:
    """A system's own parts. None is the paper's part.

    Each is one component for all modalities, or modality → component; a modality that is not named has the paper's
    part. It is built by `tokcom_phy.utils.instantiate.instantiate`. A class gives an `nn.Module`; a plain function is
    named with ``_partial_: true``.

    Attributes
    ----------
    transmitter : mapping, optional
        F_m in equation (4): ``forward(features [b, s_m, d_m]) -> [b, s_m, d_T]``.
    receiver : mapping, optional
        G_m in equation (8), of the text too: ``forward(tokens [b, s, d_T]) -> [b, s, d_T]``. It may name
        ``noise_var``, the effective noise variance per token, float32 [b, s], and ``mask``, True for tokens and False
        for padding, bool [b, s].
    selector : mapping or str, optional
        In place of Slide, equation (3): ``forward(tokens [b, ŝ_m, d_m], length) -> [b, length, d_m]``; or the name of a
        `tokcom_phy.model.compression.Compression`, such as ``mean-pool``, for all modalities or under the name of each.
    """

    transmitter: Named | None = None
    receiver: Named | None = None
    selector: Named | Compression | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "selector" and value:
                value = _own_selectors(value) or None
            if value is None:
                continue
            parts = value if isinstance(value, Mapping) and value and TARGET not in value else {field.name: value}
            if not all(isinstance(part, Mapping) and TARGET in part for part in parts.values()):
                raise UserError(
                    f"{field.name}: got {value!r}: write {{{TARGET}: MODULE.NAME, ARGUMENT: VALUE}} for all modalities "
                    "or under the name of each"
                )

    def __bool__(self) -> bool:
        """Whether any part is named."""
        return any(getattr(self, field.name) for field in fields(self))

    def of(self, part: str, modality: str) -> Named | None:
        """The component that is named as one part of one modality."""
        named = getattr(self, part)
        found = named.get(modality) if isinstance(named, Mapping) and TARGET not in named else named
        return None if isinstance(found, str) else found

    def compression(self, modality: str) -> Compression:
        """How tokens of a modality without an own selector are compressed."""
        named = self.selector if isinstance(self.selector, str) else (self.selector or {}).get(modality)
        return next((how for how in COMPRESSIONS if how == named), "slide")

    def named(self) -> dict[str, Named]:
        """Every component by its key: ``receiver``, or ``receiver.audio``."""
        found: dict[str, Named] = {}
        for field in fields(self):
            value = getattr(self, field.name) or {}
            if field.name == "selector":
                value = _own_selectors(value)
            found |= {field.name: value} if TARGET in value else {f"{field.name}.{m}": c for m, c in value.items()}
        return found

    def sources(self) -> dict[str, dict[str, str | None]]:
        """Module, version and file hash of every component, for provenance."""
        return {key: source_of(component, key) for key, component in self.named().items()}

    def check_modalities(self, modalities: Iterable[str], text: str) -> None:
        """See that components are named for modalities that are there.

        Raises
        ------
        UserError
        """
        built_in = self.selector if isinstance(self.selector, Mapping) and TARGET not in self.selector else {}
        for key in (*self.named(), *(f"selector.{modality}" for modality in built_in)):
            part, _, modality = key.partition(".")
            known = [*modalities, text] if part == "receiver" else list(modalities)
            if modality and modality not in known:
                raise UserError(f"{key}: no modality '{modality}' is {_DONE[part]}: {nearest(modality, known)}")

    def build(self, part: str, modality: str, widths: Mapping[str, int]) -> "OwnPart | None":
        """Build one part of one modality; None where none is named.

        Parameters
        ----------
        part : 'transmitter', 'receiver' or 'selector'
        modality : str
        widths : mapping
            What a constructor may ask for by name, beside ``modality``.

        Raises
        ------
        UserError
            As `instantiate` does.
        """
        component = self.of(part, modality)
        if component is None:
            return None
        key = part if TARGET in getattr(self, part) else f"{part}.{modality}"
        built = instantiate(component, key, None, modality=modality, **widths)
        if not callable(built):
            raise UserError(f"{key}: '{component[TARGET]}' gives a {type(built).__name__}, expected an nn.Module")
        return OwnPart(built, key, str(component[TARGET]))


def _own_selectors(named: Any) -> Any:
    """What is named as selector without the built-in ones.

    Raises
    ------
    UserError
        If a name is not one of them.
    """
    if isinstance(named, str):
        named = {"": named}
    if not isinstance(named, Mapping) or TARGET in named:
        return named
    for modality, name in named.items():
        if isinstance(name, str) and name not in COMPRESSIONS:
            key = f"selector.{modality}".rstrip(".")
            raise UserError(f"{key}: unknown selector '{name}': {nearest(name, COMPRESSIONS)}")
    return {modality: part for modality, part in named.items() if not isinstance(part, str)}


_DONE = {"transmitter": "projected", "receiver": "received", "selector": "selected"}


class OwnPart(nn.Module):
    """A component in a system: what it returns is checked, and its errors name the key.

    Parameters
    ----------
    component : nn.Module or function
    key, path : str
        The setting that names it, and its import path.
    """

    def __init__(self, component: Callable[..., Any], key: str, path: str):
        super().__init__()
        self.component = component
        self.key, self.path = key, path
        forward = component.forward if isinstance(component, nn.Module) else component
        self.arguments = list(inspect.signature(forward).parameters)

    def forward(self, tokens: Tensor, *arguments: Any, shape: tuple[int, ...], **options: Any) -> Tensor:
        """Call the component on tokens [b, s, d]; ``shape`` is what it has to return."""
        try:
            out = self.component(tokens, *arguments, **options)
        except Exception as error:  # any error of the component's code
            raise UserError(
                f"{self.key}: '{self.path}' fails on tokens of shape {tuple(tokens.shape)} ({one_line(error)})"
            ) from error
        if not isinstance(out, Tensor):
            raise UserError(f"{self.key}: '{self.path}' returns a {type(out).__name__}, expected a tensor")
        if tuple(out.shape) != shape or not out.is_floating_point():
            raise UserError(
                f"{self.key}: '{self.path}' turns tokens of shape {tuple(tokens.shape)} into {tuple(out.shape)} "
                f"{str(out.dtype).removeprefix('torch.')}, expected {shape} float"
            )
        return out
