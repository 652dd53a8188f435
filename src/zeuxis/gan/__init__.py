"""Generative adversarial networks: two players, one of which makes images and one of which tells
them from real ones."""
