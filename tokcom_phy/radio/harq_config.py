"""Settings of hybrid ARQ."""

from typing import Annotated, Literal

from tokcom_phy.utils.bounds import Within
from tokcom_phy.utils.settings import Strict

Combining = Literal["incremental-redundancy", "chase"]


class HarqConfig(Strict):
    """Hybrid ARQ of a digital link."""

    rounds: Annotated[
        int, Within(2, 16, "one round is a link without harq: leave it out, and after 16 a block is given up")
    ] = 4
    """Transmissions of a code block, the first one included, before it is given up."""

    combining: Combining = "incremental-redundancy"
    """'incremental-redundancy': each round sends other bits of the code; 'chase': the same symbols again, added with
    maximum ratio."""
