"""Typed requests and answers: the only shapes that cross the wire. Imports nothing but ``app.core``."""
