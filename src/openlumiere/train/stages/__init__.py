"""The stages of the training chain: the codec, the picture net on its latents."""
