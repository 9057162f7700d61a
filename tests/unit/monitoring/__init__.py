"""What watches the system: files that fit together."""
