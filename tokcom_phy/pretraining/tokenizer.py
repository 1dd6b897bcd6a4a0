"""The tiny profile's tokenizer: byte-level BPE, trained on texts about synthetic clips; it can encode any text."""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tokcom_phy.model.prompt import END_TOKEN

PADDING_TOKEN = "<|padding|>"


def train_tokenizer(texts: Iterable[str], vocabulary: int = 1000) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer.

    Its alphabet holds all 256 bytes, so no text is unknown to it. A word's leading blank belongs to its token.

    Parameters
    ----------
    texts : iterable of str
        What the merges are learnt from.
    vocabulary : int
        The largest number of tokens, the two special ones (end and padding) included.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_TOKEN, PADDING_TOKEN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END_TOKEN, pad_token=PADDING_TOKEN, clean_up_tokenization_spaces=False
    )
