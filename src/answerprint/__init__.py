"""Answerprint finishes film and television footage."""

from importlib.metadata import version

__version__ = version("answerprint")
