"""What the `lite` preset is held against: a U-Net, the segmenter with boxes, a blind ellipse."""
