"""Packages, terminology, and the compiler: definition to checker."""

from app.conformance.checker import Checker
from app.conformance.definitions import Definitions, load
from app.fhirpath.model import folder

__all__ = ["Checker", "Definitions", "folder", "load"]
