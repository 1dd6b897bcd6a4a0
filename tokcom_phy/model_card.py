"""The model card of a saved system: what it is made of and how it is loaded."""

import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import ModelCard, ModelCardData

if TYPE_CHECKING:
    from tokcom_phy.system import TokenCommSystem

TAGS = ["lora", "multimodal", "token-communication", "wireless"]

TEMPLATE = """\
---
{{ card_data }}
---

# Token communication system

Transceivers of a multimodal token communication system: devices project what their encoders hear and see to tokens,
send the tokens over a radio link, and a language model at the base station reads what arrives and answers a question.
Made with tokcom-phy {{ version }}, after "Token Communication-Driven Multimodal Large Models in Resource-Constrained
Multiuser Networks" ([arXiv 2505.07841](https://arxiv.org/abs/2505.07841)).

| | |
| --- | --- |
| foundation model | `{{ foundation }}`, frozen, not included |
| token width | {{ token_width }} |
| receiver width | {{ receiver_width }} |
| modalities, in the order in which the model reads them | {{ modalities }} |
| question | {{ question }} |
| transceivers | {{ parameters }} parameters, float32, `transceivers.safetensors` |
| adapter | {{ adapter }} |

```python
from tokcom_phy import TokenCommSystem

system = TokenCommSystem.from_pretrained("PATH_OR_REPOSITORY")
```
"""

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def model_card(system: "TokenCommSystem") -> ModelCard:
    """The card of a system, with the metadata that the Hugging Face hub reads."""
    name = system.foundation.name
    on_hub = _HUB_NAME.fullmatch(name) and not name.startswith("tiny/") and not Path(name).exists()
    config = system.config
    adapter = "LoRA in PEFT's own format, `adapter/`" if system.foundation.adapted else "none"
    modalities = [f"{modality} (features of width {width})" for modality, width in config.encoder_widths.items()]
    return ModelCard.from_template(
        ModelCardData(library_name="tokcom-phy", tags=TAGS, base_model=name if on_hub else None),
        template_str=TEMPLATE,
        version=version("tokcom-phy"),
        foundation=name,
        token_width=config.token_width,
        receiver_width=config.receiver_width,
        modalities=", ".join([*modalities, "text"]),
        question="sent over the air" if config.question == "on-air" else "arrives reliably",
        parameters=f"{sum(tensor.numel() for tensor in system.transceivers().values()):,}",
        adapter=adapter,
    )
