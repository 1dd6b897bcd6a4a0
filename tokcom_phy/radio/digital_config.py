"""Settings of digital links."""

from typing import Annotated, Literal, Self

from pydantic import Field, SerializeAsAny, model_validator

from tokcom_phy.radio.erasure_config import ErasureConfig
from tokcom_phy.radio.family_config import LinkFamilyConfig
from tokcom_phy.radio.flat_config import FlatConfig
from tokcom_phy.radio.ofdm_config import OfdmConfig
from tokcom_phy.radio.scheme import Modulation, Scheme
from tokcom_phy.utils.bounds import Within


class DigitalConfig(LinkFamilyConfig):
    """Tokens as bits over another link, at as many channel uses as the analog tokens take."""

    family: Literal["digital"]
    """Selects this family."""

    over: FlatConfig | OfdmConfig | ErasureConfig | SerializeAsAny[LinkFamilyConfig]
    """The link below, of another family. A file names a built-in link, or a YAML file relative to its own folder, or
    gives settings: those of a whole link, or the keys that differ from the link that it ``extends``."""

    bits: int = Field(default=2, ge=1, le=6)
    """Bits per value of the quantiser."""

    quantizer: Literal["uniform", "lloyd-max"] = "uniform"
    """Levels in equal steps, or those of least mean squared error for Gaussian values."""

    clip: Annotated[float, Within(0.01, 100, "Gaussian values end far below 100 deviations")] | None = None
    """Half range of the uniform quantiser over the root mean square of a user's block; null for the optimum of Gaussian
    values."""

    modulation: Modulation = "64-QAM"
    """Modulation. A symbol carries two values, so the rate of the 5G LDPC code is (2·bits + CRC) over its bits."""

    decoding: Literal["bit-exact", "mapped"] = "bit-exact"
    """'bit-exact': every block is encoded, sent and decoded; 'mapped': whether it is decoded is drawn with the block
    error rate at its effective SNR (MIESM), hundreds of times as fast."""

    schemes: list[Scheme] | None = None
    """Candidates of an adaptive link, in place of ``bits`` and ``modulation``."""

    adaptation: Literal["none", "average", "instantaneous"] = "none"
    """Which of the ``schemes`` sends a user's payload: that of least expected distortion, by the SNR and the statistics
    of the channel ('average') or by the realisation of the channel ('instantaneous')."""

    @property
    def candidates(self) -> list[Scheme]:
        """The schemes that the link may use."""
        return self.schemes or [Scheme(bits=self.bits, modulation=self.modulation)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.schemes == []:
            raise ValueError("schemes: the list is empty: name candidates, such as {bits: 2, modulation: 64-QAM}")
        if (self.schemes is None) != (self.adaptation == "none"):
            raise ValueError(
                "schemes and adaptation belong together: give candidate schemes and 'average' or 'instantaneous', or "
                "neither"
            )
        if self.clip is not None and self.quantizer != "uniform":
            raise ValueError(f"clip is of the uniform quantizer, not of '{self.quantizer}': leave one out")
        if self.decoding == "mapped" and self.amplifier_backoff_db is not None:
            raise ValueError("decoding 'mapped' does not model an amplifier: use bit-exact with amplifier_backoff_db")
        self.over.for_demapper()
        return self
