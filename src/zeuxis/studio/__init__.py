"""The studio: a page on this machine to look at models, change images and train."""
