"""Grids of trainings: many settings and seeds, on this machine or on a cluster."""
