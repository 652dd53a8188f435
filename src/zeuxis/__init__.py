"""zeuxis: generative models, faithful, fast and measured."""
