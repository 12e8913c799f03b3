"""The edge: parse, call the service, write. One short file per resource."""
