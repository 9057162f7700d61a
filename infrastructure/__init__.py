"""What runs beside the services: servers, their configuration, and the paper exchange."""
