"""The space-time U-Net for diffusers, as a custom component: this file beside the weights in a
folder's `stunet/`, and in its `model_index.json` `"stunet": ["space_time_unet", "STUNet"]`.
"""

from openlumiere.models.stunet import STUNet

__all__ = ["STUNet"]
