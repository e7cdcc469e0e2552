"""What is not FHIR JSON, read into it."""
