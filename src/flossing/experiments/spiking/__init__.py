"""Experiments with spiking networks."""
