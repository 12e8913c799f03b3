"""Batch work without a server: files in, files out. Optional: the folder may be left out."""
