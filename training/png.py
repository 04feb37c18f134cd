"""PNG files: those of `coreseg_core.imaging`, under the name that the writers of pictures here use."""

from coreseg_core.imaging.png import png_bytes

__all__ = ["png_bytes"]
