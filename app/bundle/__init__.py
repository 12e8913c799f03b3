"""The bundle: the contract between training, which writes it, and serving, which reads it."""
