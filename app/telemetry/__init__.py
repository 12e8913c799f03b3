"""What the server says about itself: metrics, logs and spans. Every name is written down here once."""
