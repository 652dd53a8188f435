"""Policies: an optimiser with a trust region, imitation of an expert, and what both learn from."""
