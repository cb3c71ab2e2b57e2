"""Mergeable summaries made of integers: no judgement, no rounding."""
