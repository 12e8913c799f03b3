"""Speech to text: samples in, words with their times out."""
