"""Models that draw one number at a time, each given all before it."""
