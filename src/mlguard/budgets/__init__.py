"""Budgets of latency and of errors, kept in the request path and judged over many processes."""
