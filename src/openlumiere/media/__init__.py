"""Clips and pictures: the only code here that opens or writes video and image files."""

from openlumiere.media.clip import Clip, Origin
from openlumiere.media.encode import check_ending, check_output
from openlumiere.media.image import load_image, load_mask, save_image
from openlumiere.media.limits import Limits, MediaError
from openlumiere.media.picture import contact_sheet, filmstrip, xt_slice
from openlumiere.media.pixels import picture_from

__all__ = [
    "Clip",
    "Limits",
    "MediaError",
    "Origin",
    "check_ending",
    "check_output",
    "contact_sheet",
    "filmstrip",
    "load_image",
    "load_mask",
    "picture_from",
    "save_image",
    "xt_slice",
]
