"""Inference: a question about slices of a volume becomes findings, a label volume and a record."""

from coreseg_core.inference.segment import SliceSegmenter, overall_outcome

__all__ = ["SliceSegmenter", "overall_outcome"]
