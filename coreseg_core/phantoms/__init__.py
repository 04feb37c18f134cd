"""Made-up studies with known lesions: for the demonstration, the tests and a small share of training."""

from coreseg_core.phantoms.demo import demo_studies, write_demo
from coreseg_core.phantoms.make import KINDS, MAX_LESIONS, make_study, random_study
from coreseg_core.phantoms.study import LesionSpec, Study, StudySpec

__all__ = [
    "KINDS",
    "MAX_LESIONS",
    "LesionSpec",
    "Study",
    "StudySpec",
    "demo_studies",
    "make_study",
    "random_study",
    "write_demo",
]
