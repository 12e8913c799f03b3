"""Readers: files on disk become arrays, texts and labels; nothing else reads data files."""
