"""Sweeps: many variants of one config, read once, traded each with an account of its own, and one tidy table of what came out."""
