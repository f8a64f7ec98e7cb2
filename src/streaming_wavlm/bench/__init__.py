"""Benchmarks: what a step costs here, each figure a ratio of candidates that took turns in one run."""

from __future__ import annotations
