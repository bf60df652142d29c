"""Small pictures of values that are images: those of Pillow, and the bytes of an image file.

Pillow is never imported here: only who has made an image with it has it.
"""

from __future__ import annotations

import base64
import io
from typing import Any

#: The longest side of a picture in pixels, and the most bytes it may have.
SIDE = 320
MOST_BYTES = 12_288

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def is_image(value: Any) -> bool:
    """Whether it is an image of Pillow, or the bytes of an image file."""
    return _is_pillow(value) or _type_of(value) is not None


def size(value: Any) -> int:
    """How many bytes its pixels, or its file, take."""
    if isinstance(value, bytes):
        return len(value)
    return int(value.width * value.height * len(value.getbands()))


def picture(value: Any) -> dict[str, Any] | None:
    """``type`` and ``data`` (base64) of a picture of ``value``, and its ``shape`` if that is known.

    None when it is no image, or one whose picture would be too large.
    """
    if _is_pillow(value):
        return _thumbnail(value)
    kind = _type_of(value)
    if kind is None or len(value) > MOST_BYTES:
        return None
    return {"type": kind, "data": base64.b64encode(value).decode(), "shape": None}


def _is_pillow(value: Any) -> bool:
    modules = {each.__module__ for each in type(value).__mro__}
    return "PIL.Image" in modules


def _type_of(value: Any) -> str | None:
    if not isinstance(value, bytes):
        return None
    return next((kind for start, kind in _SIGNATURES if value.startswith(start)), None)


def _thumbnail(image: Any) -> dict[str, Any] | None:
    small = image.copy()
    small.thumbnail((SIDE, SIDE))
    has_alpha = small.mode in ("RGBA", "LA", "PA") or "transparency" in small.info
    for mode, kind in (("RGBA" if has_alpha else "RGB", "png"), ("RGB", "jpeg")):
        file = io.BytesIO()
        small.convert(mode).save(file, format=kind.upper())
        if file.tell() <= MOST_BYTES:
            data = base64.b64encode(file.getvalue()).decode()
            return {"type": f"image/{kind}", "data": data, "shape": [image.height, image.width]}
    return None
