"""Models: uploads and routes."""
