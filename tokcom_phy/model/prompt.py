"""How a question is put to the foundation model, and how its answer is written."""

END_TOKEN = "<|endoftext|>"
"""Ends every answer; generation stops there."""


def prompt(question: str) -> str:
    """The text that follows the non-text tokens (equation (12)): the question alone, without surrounding blanks."""
    return question.strip()


def completion(answer: str, end_token: str = END_TOKEN) -> str:
    """The text that the model is to continue a prompt with: a blank, the answer, the end token.

    The blank belongs to the answer because byte-level BPE tokens carry their leading blank; a tokenizer that puts one
    before every text gets none. Foundation models with another end token pass their tokenizer's ``eos_token``.
    """
    return f" {answer.strip()}{end_token}"
