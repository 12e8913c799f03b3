"""Sessions: recurrent state that outlives the connection, the process and the machine."""
