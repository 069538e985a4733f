"""The record of a run: it is read, written and shown here, and nothing is measured."""
