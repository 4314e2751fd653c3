"""Experiments with rate networks."""
