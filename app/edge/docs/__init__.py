"""What the OpenAPI document says besides the routes."""
