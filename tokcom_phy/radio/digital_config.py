"""Settings of digital links."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from tokcom_phy.radio.erasure_config import ErasureConfig
from tokcom_phy.radio.family_config import LinkFamilyConfig
from tokcom_phy.radio.flat_config import FlatConfig
from tokcom_phy.radio.harq_config import HarqConfig
from tokcom_phy.radio.mcs import MCS, McsTable, mcs_schemes
from tokcom_phy.radio.ofdm_config import OfdmConfig
from tokcom_phy.radio.scheme import Modulation, Scheme, UsesPerValue
from tokcom_phy.utils.bounds import Within
from tokcom_phy.utils.errors import nearest


def _known_table(schemes: Any) -> Any:
    """The value of ``schemes``, or a ValueError if it names no table."""
    if isinstance(schemes, str) and schemes not in MCS:
        raise ValueError(f"no table '{schemes}': {nearest(schemes, MCS)}, or give a list of schemes")
    return schemes


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
    """Modulation. The rate of the 5G LDPC code follows: information and CRC bits over those of the QAM symbols."""

    uses_per_value: UsesPerValue | None = None
    """Channel uses per value; by default 1/2, those of analog tokens, where two values share a QAM symbol."""

    decoding: Literal["bit-exact", "mapped"] = "bit-exact"
    """'bit-exact': every block is encoded, sent and decoded; 'mapped': whether it is decoded is drawn with the block
    error rate at its effective SNR (MIESM), tens of times as fast."""

    schemes: Annotated[list[Scheme] | McsTable | None, BeforeValidator(_known_table)] = None
    """Candidates of an adaptive link, in place of ``bits``, ``modulation`` and ``uses_per_value``: a list, or a table
    of 5G NR (3GPP TS 38.214, 5.1.3.1), with as many bits a value as fit into half a channel use."""

    adaptation: Literal["none", "average", "instantaneous"] = "none"
    """Which of the ``schemes`` sends a user's payload: that of least expected distortion, by the SNR and the statistics
    of the channel ('average') or by the realisation of the channel ('instantaneous'). With HARQ it is the
    distortion relative to analog tokens in as many mean channel uses; over fading 'average' then does better."""

    target_bler: Annotated[float, Within(1e-3, 0.999, "tables of block error rates begin there")] | None = None
    """Adapt to the scheme of most bits a channel use that loses no larger share of blocks, in place of that of least
    distortion."""

    harq: HarqConfig | None = None
    """Hybrid ARQ: lost blocks are sent again, over a new realisation of the link below; null for none."""

    text: Literal["embeddings", "identifiers"] = "embeddings"
    """How text goes: 'embeddings', quantised like other tokens, or 'identifiers' of ⌈log2 V⌉ bits for a vocabulary of V
    tokens; an identifier that is lost arrives as padding."""

    @property
    def uplink(self) -> LinkFamilyConfig:
        return self.over

    @property
    def sends_versions(self) -> bool:
        """Whether further rounds of HARQ send other bits of the code."""
        return self.harq is not None and self.harq.combining == "incremental-redundancy"

    @property
    def candidates(self) -> list[Scheme]:
        """The schemes that the link may use."""
        if isinstance(self.schemes, str):
            return mcs_schemes(self.schemes)
        own = {"bits": self.bits, "modulation": self.modulation, "uses_per_value": self.uses_per_value}
        return self.schemes or [Scheme.model_validate(own)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.schemes == []:
            raise ValueError("schemes: the list is empty: name candidates, such as {bits: 2, modulation: 64-QAM}")
        if (self.schemes is None) != (self.adaptation == "none"):
            raise ValueError(
                "schemes and adaptation belong together: give candidate schemes and 'average' or 'instantaneous', or "
                "neither"
            )
        if self.target_bler is not None and self.adaptation == "none":
            raise ValueError(
                "target_bler chooses among schemes: give candidate schemes and an adaptation, or leave it out"
            )
        if self.clip is not None and self.quantizer != "uniform":
            raise ValueError(f"clip is of the uniform quantizer, not of '{self.quantizer}': leave one out")
        if self.decoding == "mapped" and self.amplifier_backoff_db is not None:
            raise ValueError("decoding 'mapped' does not model an amplifier: use bit-exact with amplifier_backoff_db")
        if self.over.amplifier_backoff_db is not None:
            raise ValueError("over.amplifier_backoff_db is of analog tokens: give the digital link its own")
        if self.schemes is not None and self.uses_per_value is not None:
            raise ValueError("uses_per_value is of a link without schemes: give each of the schemes its own")
        if self.harq is not None and self.over.true_path_gains:
            raise ValueError(
                "harq: each round is a realisation of its own, in which users of power_control 'none' are elsewhere: "
                "use power_control large-scale"
            )
        if self.over.uses_per_value is not None:
            raise ValueError("over.uses_per_value is of analog tokens: give the digital link its own uses_per_value")
        self.over.for_demapper()
        return self
