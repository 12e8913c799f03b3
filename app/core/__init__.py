"""What every layer shares: errors, steps, plans, ports, and the little arithmetic that two of them need."""
