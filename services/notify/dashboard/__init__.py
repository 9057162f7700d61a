"""The dashboard: pages rendered here, kept live by a stream, acted on through the operator's desk."""
