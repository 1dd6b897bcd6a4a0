"""Encoders of the tiny profile's shape with random weights, saved as transformers saves them."""

from pathlib import Path

import torch
from transformers import ASTConfig, ASTFeatureExtractor, ASTModel, VivitConfig, VivitImageProcessor, VivitModel

AST = {
    "hidden_size": 96,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "frequency_stride": 16,
    "time_stride": 16,
    "max_length": 512,
    "num_mel_bins": 64,
}
VIVIT = {
    "image_size": 48,
    "num_frames": 16,
    "hidden_size": 96,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 192,
}


def write_encoders(folder: Path, seed: int = 0) -> dict[str, Path]:
    """Save an AST of 130 tokens and a ViViT of 73, both of width 96; modality → folder."""
    torch.manual_seed(seed)
    ast = ASTModel(ASTConfig(**AST))
    torch.nn.init.normal_(ast.embeddings.position_embeddings)
    ast.half().save_pretrained(folder / "audio")
    ASTFeatureExtractor(num_mel_bins=64, max_length=512).save_pretrained(folder / "audio")
    vivit = VivitModel(VivitConfig(**VIVIT), add_pooling_layer=False)
    torch.nn.init.normal_(vivit.embeddings.position_embeddings)
    vivit.half().save_pretrained(folder / "video")
    VivitImageProcessor(size={"height": 48, "width": 48}, do_center_crop=False).save_pretrained(folder / "video")
    return {"audio": folder / "audio", "video": folder / "video"}
