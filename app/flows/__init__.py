"""What the house does, each flow top to bottom: load, plan, commit; read; deliver."""
