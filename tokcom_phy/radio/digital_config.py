"""Settings of digital links."""

from typing import Annotated, Literal, Self

from pydantic import Field, SerializeAsAny, model_validator

from tokcom_phy.radio.erasure_config import ErasureConfig
from tokcom_phy.radio.family_config import LinkFamilyConfig
from tokcom_phy.radio.flat_config import FlatConfig
from tokcom_phy.radio.ofdm_config import OfdmConfig
from tokcom_phy.utils.bounds import Within


class DigitalConfig(LinkFamilyConfig):
    """Tokens as bits over another link, at as many channel uses as the analog tokens take."""

    family: Literal["digital"]
    """Selects this family."""

    over: FlatConfig | OfdmConfig | ErasureConfig | SerializeAsAny[LinkFamilyConfig]
    """The link below, of another family. A file names a built-in link, or a YAML file relative to its own folder, or
    gives settings: those of a whole link, or the keys that differ from the link that it ``extends``."""

    bits: int = Field(default=2, ge=1, le=4)
    """Bits per value of the uniform quantiser."""

    clip: Annotated[float, Within(0.01, 100, "Gaussian values end far below 100 deviations")] | None = None
    """Half range of the quantiser over the root mean square of a user's block; null for the optimum of Gaussian
    values."""

    modulation: Literal["QPSK", "16-QAM", "64-QAM", "256-QAM", "1024-QAM"] = "64-QAM"
    """Modulation. A symbol carries two values, so the rate of the 5G LDPC code is (2·bits + CRC) over its bits."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.over.for_demapper()
        return self
