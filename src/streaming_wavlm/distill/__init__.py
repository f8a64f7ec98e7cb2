"""Distillation: making a streaming student of offline teachers."""
