"""Tiny random models of published families, saved in the layout that diffusers writes: a function a
family, and one table of them.
"""

from dataclasses import replace

import diffusers
import torch
from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

WORDS = ["a", "red", "cat", "dog", "blurry", "the", "jumps"]


def t5_tokenizer(length):
    """A tokenizer of whole words, as T5's are; others are spelled as unknown."""
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((f"▁{word}", -1.0) for word in WORDS)]
    return T5Tokenizer(vocab=words, extra_ids=0, model_max_length=length)


def umt5(width=32):
    """The text encoder of Wan."""
    config = UMT5Config(
        vocab_size=len(WORDS) + 3, d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2
    )
    return UMT5EncoderModel(config).eval()


WAN_NET = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 32,
    "freq_dim": 256,
    "ffn_dim": 32,
    "num_layers": 2,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 32,
}
WAN_VAE = {
    "base_dim": 3,
    "z_dim": 16,
    "dim_mult": [1, 1, 1, 1],
    "num_res_blocks": 1,
    "temperal_downsample": [False, True, True],
}


def wan():
    """Wan 2.1 text to video."""
    return diffusers.WanPipeline(
        transformer=diffusers.WanTransformer3DModel(**WAN_NET).eval(),
        vae=diffusers.AutoencoderKLWan(**WAN_VAE).eval(),
        tokenizer=t5_tokenizer(512),
        text_encoder=umt5(),
        scheduler=diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    )


TINY = {"WanPipeline": wan}
"""By the class that `model_index.json` names; `tests/backbones/test_families.py` runs every task on
each.
"""


def shrink_native(monkeypatch, backbone, frames=9, side=32, longer=48):
    """As if a family had been trained on such small clips, which its tiny model can make."""
    native = replace(backbone.native, side=side, longer=longer, frames=frames)
    monkeypatch.setattr(type(backbone), "native", property(lambda self: native))


def save_tiny(name, folder, seed=0):
    """The tiny model of this family, in a folder."""
    torch.manual_seed(seed)
    TINY[name]().save_pretrained(folder)
    return folder
