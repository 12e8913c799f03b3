"""The web server's side: connections, bodies, headers, who may come in."""
