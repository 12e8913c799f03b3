"""Words shared by every layer: errors, steps, plans and ports. No behaviour."""
