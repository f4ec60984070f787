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


def small_fast(rank=2, shift=4.0, path=None):
    """Random factors for a layer of `picture_net` at its usual widths, as distilled weights."""
    from openlumiere.models.fast import Fast
    from openlumiere.models.lora import LowRank
    from openlumiere.models.style import Style

    generator = torch.Generator().manual_seed(1)
    down = torch.randn(rank, 16, 3, 3, generator=generator)
    up = torch.randn(16, rank, 1, 1, generator=generator)
    low_rank = {"down_blocks.0.resnets.0.conv1": LowRank(down, up, 0.5)}
    return Fast(factors=Style("fast", low_rank, {}), shift=shift, path=path)
