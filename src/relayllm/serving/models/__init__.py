"""Which version answers: load it, route to it, follow the registry."""
