"""Kinbridge: a FHIR R4 service between health care and child welfare."""
