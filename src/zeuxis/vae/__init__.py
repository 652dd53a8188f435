"""Variational autoencoders: an encoder infers latents, a decoder makes examples of them, and a
bound on the likelihood trains both."""
