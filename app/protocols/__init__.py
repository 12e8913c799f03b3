"""Other services' protocols on the same models; each folder can be deleted."""
