"""A world made of nothing: scenes, their clips, captions and questions."""

from tokcom_phy.utils.source_digest import source_digest

CODE = source_digest(__name__)
"""Names the code that makes a corpus."""
