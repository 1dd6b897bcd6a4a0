"""Joint source-channel coding: a link between two halves of a torch network: ``python examples/deepjscc.py``.

Encoder and decoder learn to send 64 correlated Gaussian values over 16 channel uses of Rayleigh fading. The link is a
layer without parameters; it draws new fading and noise in every step, and its gradients are exact.
"""

import torch
from torch import Tensor, nn

from tokcom_phy import load_link

VALUES, SYMBOLS, BATCH, SNR_DB = 64, 16, 256, 10.0


def source(batch: int, generator: torch.Generator) -> Tensor:
    """Gaussian values with covariance 0.95^|i − j|, float32 [batch, 1, VALUES]: each block is one token."""
    index = torch.arange(VALUES)
    covariance = 0.95 ** (index[:, None] - index).abs()
    return torch.randn(batch, 1, VALUES, generator=generator) @ torch.linalg.cholesky(covariance).mT


def autoencoder() -> nn.Sequential:
    """Encoder, link and decoder; two values make one symbol, so 2·SYMBOLS values are sent."""
    return nn.Sequential(
        nn.Linear(VALUES, 128),
        nn.ReLU(),
        nn.Linear(128, 2 * SYMBOLS),
        load_link("rayleigh", device="cpu").at(snr_db=SNR_DB),
        nn.Linear(2 * SYMBOLS, 128),
        nn.ReLU(),
        nn.Linear(128, VALUES),
    )


def nmse_db(network: nn.Module) -> float:
    """Error over signal power of values that the network was not trained on [dB]."""
    values = source(2000, torch.Generator().manual_seed(1))
    with torch.no_grad():
        error = network(values) - values
    return float(10 * torch.log10(error.square().mean() / values.square().mean()))


def run(steps: int = 100) -> tuple[float, float]:
    """Train an autoencoder: its NMSE [dB] before and after."""
    torch.manual_seed(0)
    network, generator = autoencoder(), torch.Generator().manual_seed(2)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    before = nmse_db(network)
    for _ in range(steps):
        values = source(BATCH, generator)
        loss = (network(values) - values).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return before, nmse_db(network)


if __name__ == "__main__":
    before, after = run()
    print(f"NMSE at {SNR_DB:.0f} dB over Rayleigh fading: {before:.1f} dB before training, {after:.1f} dB after it")
