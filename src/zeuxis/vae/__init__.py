"""Variational autoencoders: codes inferred by one network, examples made of them by another, and a
bound on the likelihood."""
