"""Settings of hybrid ARQ."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict

from tokcom_phy.utils.bounds import Within

Combining = Literal["incremental-redundancy", "chase"]


class HarqConfig(BaseModel):
    """Hybrid ARQ of a digital link."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    rounds: Annotated[int, Within(2, 16, "one round is a link without harq: leave it out")] = 4
    """Transmissions of a code block, the first one included, before it is given up."""

    combining: Combining = "incremental-redundancy"
    """'incremental-redundancy': each round sends other bits of the code; 'chase': the same symbols again, added with
    maximum ratio."""
