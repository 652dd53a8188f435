"""Flow matching: a velocity field that carries noise to data along straight paths."""
