"""Restoration: denoising, inpainting and super-resolution with a model as the prior."""
