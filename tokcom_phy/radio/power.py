"""Transmit power: the definition of SNR, power normalisation, and a power amplifier model."""

import torch
from torch import Tensor

from tokcom_phy.utils.errors import UserError

MAX_SNR_DB = 200
"""An SNR and a user's offset from it together [dB]; squares of what is scaled by them are float32."""


def noise_power(snr_db: float | Tensor) -> Tensor:
    """Noise power N0 at an SNR: the one definition of SNR in this toolkit.

    SNR is the average received Es/N0 per user and per receive antenna, with E|h|² = 1 and Es = 1; hence
    N0 = 10^(−SNR/10). Array gain, pilots and cyclic prefix are not folded into it.

    Parameters
    ----------
    snr_db : float or float tensor of any shape [dB]

    Returns
    -------
    float32, the shape of ``snr_db``

    Raises
    ------
    UserError
        If an SNR is NaN or beyond ±`MAX_SNR_DB`.
    """
    snr_db = torch.as_tensor(snr_db, dtype=torch.float32)
    if not (snr_db.abs() <= MAX_SNR_DB).all():
        raise UserError(
            f"snr_db is {snr_db.flatten().tolist()[:4]}: give finite values within ±{MAX_SNR_DB} dB (link 'ideal' has "
            "no noise)"
        )
    return 10.0 ** (-snr_db / 10.0)


def normalize_power(
    symbols: Tensor, mask: Tensor | None = None, *, symbols_per_token: int | None = None
) -> tuple[Tensor, Tensor]:
    """Scale a user's block so that its valid symbols have mean power 1, and set the padding to zero.

    Parameters
    ----------
    symbols : complex [b, n]
    mask : bool [b, n], optional
        True for valid symbols; by default all are.
    symbols_per_token : int, optional
        Normalise every token of that many symbols by itself instead of the whole block.

    Returns
    -------
    normalized : complex [b, n]
        mean |x|² = 1 over the valid symbols of each block (or token); exactly 0 elsewhere.
    scale : float [b, 1] (or [b, n] per token, constant within a token)
        ``normalized * scale`` gives the valid symbols back. An all-zero block keeps scale 1.

    Raises
    ------
    UserError
        If the mask has another shape than the symbols, or these are not a whole number of tokens.
    """
    size = symbols_per_token or symbols.shape[1]
    if mask is not None and mask.shape != symbols.shape:
        raise UserError(
            f"mask has shape {list(mask.shape)}, symbols {list(symbols.shape)}: give one flag per symbol; a token mask "
            "becomes one by mask.repeat_interleave(symbols_per_token, dim=1)"
        )
    if symbols.shape[1] % size:
        raise UserError(f"{symbols.shape[1]} symbols are not a whole number of tokens of {size} symbols each")
    count: Tensor | int = size
    if mask is not None:
        symbols = symbols.masked_fill(~mask, 0)
        count = mask.unflatten(1, (-1, size)).sum(-1).clamp(min=1)
    mean = torch.view_as_real(symbols).square().sum(-1).unflatten(1, (-1, size)).sum(-1) / count
    scale = torch.where(mean > 0, mean, 1.0).sqrt()
    if symbols_per_token:
        scale = scale.repeat_interleave(size, dim=1)
    return scale_symbols(symbols, 1.0 / scale), scale


def scale_symbols(symbols: Tensor, gain: Tensor) -> Tensor:
    """Complex symbols [b, n] times real gains [b, n] or [b, 1], without converting the gains to complex."""
    return torch.view_as_complex(torch.view_as_real(symbols) * gain.unsqueeze(-1))


def rapp(symbols: Tensor, saturation_db: float, smoothness: float = 2.0) -> Tensor:
    """Rapp's model of a solid-state power amplifier: x / (1 + (|x|/A)^{2p})^{1/(2p)}.

    Parameters
    ----------
    symbols : complex, any shape, mean power 1
    saturation_db : float
        Output saturation power A² over the mean input power [dB] (the input back-off).
    smoothness : float
        p, the sharpness of the knee (C. Rapp, 1991).

    Returns
    -------
    complex, the same shape; |y| < A
    """
    amplitude = symbols.abs() / 10.0 ** (saturation_db / 20.0)
    return symbols / (1.0 + amplitude.pow(2.0 * smoothness)).pow(1.0 / (2.0 * smoothness))
