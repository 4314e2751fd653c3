"""Experiments on surrogate gradients as fields."""
