"""CORE-Seg: a question about a medical image becomes reasoning, a mask, boxes and a confidence.

Research software; not a medical device. Importing this package loads no deep-learning framework.
"""

__version__ = "0.1.0"
NOTICE = "Research software, not a medical device."
