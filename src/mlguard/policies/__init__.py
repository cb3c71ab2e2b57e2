"""Judging measurements, and composing checks."""
