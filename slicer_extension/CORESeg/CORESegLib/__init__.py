"""What stands behind the CORE-Seg panel of 3D Slicer.

Most of it is plain Python and knows neither Slicer nor Qt; only the files named in `SLICER_BOUND` import them, so that
everything else is tested without the desktop application. Importing this package imports nothing else.
"""

SLICER_BOUND = ("scene_answers", "scene_editing", "scene_images", "scene_masks")
"""Modules here that import slicer, vtk, qt or ctk."""
