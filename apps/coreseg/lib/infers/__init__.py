"""Inference tasks of the CORE-Seg app."""
