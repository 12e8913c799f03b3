"""Music of several voices."""
