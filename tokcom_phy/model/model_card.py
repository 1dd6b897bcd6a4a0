"""The model card of a saved system: what it is made of and how it is loaded."""

import re
from collections.abc import Mapping
from importlib.metadata import version

from huggingface_hub import ModelCard, ModelCardData

from tokcom_phy.model.hub import is_local

TAGS = ["lora", "multimodal", "token-communication", "wireless"]

TEMPLATE = """\
---
{{ card_data }}
---

# Token communication system

Transceivers of a multimodal token communication system: devices project encoded audio and video to tokens,
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
{%- for key, path in components.items() %}
| {{ key }} | `{{ path }}`, not included |
{%- endfor %}
| transceivers | {{ parameters }} parameters, float32, `transceivers.safetensors` |
| adapter | {{ adapter }} |

```python
from tokcom_phy import TokenCommSystem

system = TokenCommSystem.from_pretrained("PATH_OR_REPOSITORY")
```
"""

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def model_card(
    *,
    foundation: str,
    token_width: int,
    receiver_width: int,
    encoder_widths: Mapping[str, int],
    on_air: bool,
    parameters: int,
    adapted: bool,
    components: Mapping[str, str],
) -> ModelCard:
    """The card of a system, with the metadata that the Hugging Face hub reads.

    Parameters
    ----------
    foundation : str
        Name of the foundation model; named to the hub as base model if it is a hub name.
    token_width, receiver_width, encoder_widths
        As in `tokcom_phy.model.system.SystemConfig`.
    on_air : bool
        Whether the question goes over the air.
    parameters : int
        Weights of all transceivers.
    adapted : bool
        Whether there is an adapter.
    components : key → import path
        Own parts in place of the paper's.
    """
    on_hub = _HUB_NAME.fullmatch(foundation) and not is_local(foundation)
    modalities = [f"{modality} (features of width {width})" for modality, width in encoder_widths.items()]
    return ModelCard.from_template(
        ModelCardData(library_name="tokcom-phy", tags=TAGS, base_model=foundation if on_hub else None),
        template_str=TEMPLATE,
        version=version("tokcom-phy"),
        foundation=foundation,
        token_width=token_width,
        receiver_width=receiver_width,
        modalities=", ".join([*modalities, "text"]),
        components=components,
        question="sent over the air" if on_air else "arrives reliably",
        parameters=f"{parameters:,}",
        adapter="LoRA in PEFT's own format, `adapter/`" if adapted else "none",
    )
