"""Denoiser to denoiser, and the loop that turns noise into clips; knows the contract only."""
