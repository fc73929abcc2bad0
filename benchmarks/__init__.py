"""Benchmarks: each measures two ways of doing a thing in turns, in one process, and reports their ratio.

``python -m moleflow bench`` runs them; documents/performance.md says what was found. A family of rows has a file.
"""
