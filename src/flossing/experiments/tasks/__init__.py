"""Sequence tasks that are no streams of bits: where flossing helps there, and where it does not."""
