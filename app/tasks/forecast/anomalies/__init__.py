"""What is unusual in whole series."""
