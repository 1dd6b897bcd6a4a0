"""The modulation and coding schemes of 5G NR: tables 5.1.3.1-1 and 5.1.3.1-2 of 3GPP TS 38.214."""

from typing import Literal

from tokcom_phy.radio.scheme import MAX_RATE, USES_PER_VALUE, Scheme

McsTable = Literal["mcs-table-1", "mcs-table-2"]

_MODULATIONS = {2: "QPSK", 4: "16-QAM", 6: "64-QAM", 8: "256-QAM"}

# Bits of a symbol → target code rates × 1024, by rising MCS index.
_QAM64: dict[int, list[float]] = {
    2: [120, 157, 193, 251, 308, 379, 449, 526, 602, 679],
    4: [340, 378, 434, 490, 553, 616, 658],
    6: [438, 466, 517, 567, 616, 666, 719, 772, 822, 873, 910, 948],
}
_QAM256: dict[int, list[float]] = {
    2: [120, 193, 308, 449, 602],
    4: [378, 434, 490, 553, 616, 658],
    6: [466, 517, 567, 616, 666, 719, 772, 822, 873],
    8: [682.5, 711, 754, 797, 841, 885, 916.5, 948],
}
MCS: dict[McsTable, list[tuple[int, float]]] = {
    "mcs-table-1": [(order, rate / 1024) for order, rates in _QAM64.items() for rate in rates],
    "mcs-table-2": [(order, rate / 1024) for order, rates in _QAM256.items() for rate in rates],
}
"""Bits of a symbol and target code rate, by MCS index."""


def mcs_schemes(table: McsTable) -> list[Scheme]:
    """The rows of a table that carry a whole number of bits a value in no more channel uses than analog tokens take.

    A row of spectral efficiency E = Q·R carries ⌊E/2⌋ bits of each value at half a channel use a value. Rows below two
    bits a symbol carry none.
    """
    schemes = []
    for order, rate in MCS[table]:
        bits = int(order * min(rate, MAX_RATE) * USES_PER_VALUE)
        if bits:
            schemes.append(Scheme.model_validate({"bits": bits, "modulation": _MODULATIONS[order], "rate": rate}))
    return schemes
