"""Who may use the service, and how much: API keys, their file, and token buckets."""
