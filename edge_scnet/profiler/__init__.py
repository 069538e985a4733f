"""Engines are measured, each in a process of its own, in turn."""
