"""Experiments with binary networks."""
