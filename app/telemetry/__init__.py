"""What the server says about itself: metrics and logs. Every name is written down here once."""
