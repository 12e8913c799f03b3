"""Training of networks that write music for several voices."""
