"""Tests of the evaluators of tasks."""
