"""Sixty names that would lead out of a folder, or into what is not theirs, if anything believed them."""

from __future__ import annotations

_ABOVE = (
    "..",
    "../x",
    "../../x",
    "../../../../etc/passwd",
    "a/../b",
    "a/../../b",
    "labels/../../x",
    "./../x",
)
_BACKSLASHES = ("..\\x", "..\\..\\x", "a\\..\\b", "C:\\x", "C:/x", "\\\\host\\x", "\\x", "/\\x", "..\\/x")
_ABSOLUTE = (
    "/",
    "//",
    "/x",
    "/etc/passwd",
    "//host/x",
    "/proc/self/environ",
    "/dev/null",
    "~/../x",
    "~root/x",
)
_DOTS = (".", "...", "....//x", ".../x", ".hidden", ".lock", ".found", "..;/x", "./x", "x/.", "x/..")
_SCHEMES = ("file:///etc/passwd", "http://127.0.0.1/x", "ftp://x/y", "data:,/x", "\\\\?\\C:\\x")
_ENCODED = ("%2e%2e/x", "..%2fx/", "%2e%2e%2f/x", "..%5c\\x", "%252e%252e/x", "..%c0%af/x")
_UNPRINTABLE = ("x\x00y", "\x00", "a\nb", "a\rb", "a\tb", "\x1b[2J", "a\u202eb", "\ufeffx\u200b")
_SHAPES = (" ", " x", "x ", "x/", "x" * 300, "é" * 150)

NAMES = tuple(
    dict.fromkeys(_ABOVE + _BACKSLASHES + _ABSOLUTE + _DOTS + _SCHEMES + _ENCODED + _UNPRINTABLE + _SHAPES)
)
