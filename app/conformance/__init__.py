"""Packages, terminology, and the compiler: definition to checker."""

from app.conformance.definitions import Definitions, load

__all__ = ["Definitions", "load"]
