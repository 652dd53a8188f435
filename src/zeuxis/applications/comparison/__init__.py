"""Approaches compared on equal terms: trained alike, measured alike, and put on one page."""
