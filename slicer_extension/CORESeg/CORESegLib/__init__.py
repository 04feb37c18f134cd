"""What stands behind the CORE-Seg panel of 3D Slicer.

Most of it is plain Python and knows neither Slicer nor Qt; only the files named in `SLICER_BOUND` import them, so that
everything else is tested without the desktop application. Importing this package imports nothing else.
"""

SLICER_BOUND = (
    "answer_block",
    "connection_strip",
    "export_block",
    "panel",
    "panel_answers",
    "panel_asking",
    "panel_editing",
    "panel_exporting",
    "panel_place",
    "panel_submitting",
    "panel_training",
    "question_block",
    "samples",
    "scene_answers",
    "scene_boxes",
    "scene_clicks",
    "scene_dicom",
    "scene_editing",
    "scene_images",
    "scene_masks",
    "selftest",
    "settings_block",
    "submit_block",
    "training_block",
    "widgets",
)
"""Modules here that import slicer, vtk, qt or ctk."""
