"""A small EHR and a small agency, for the demo and for trying faults; other people's software."""
