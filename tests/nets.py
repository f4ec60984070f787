"""Small random picture nets that tests are made of."""

import torch
from diffusers import UNet2DConditionModel


def picture_net(side, channels, widths=(16, 32), heads=8, seed=0):
    """Two levels of `widths`, `channels` in and out on `side` x `side` places, attention to text of
    384 channels on the coarser level alone.
    """
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=widths,
        layers_per_block=1,
        norm_num_groups=widths[0] // 2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=384,
        attention_head_dim=heads,
    )
