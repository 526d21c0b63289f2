"""A webhook receiver on this machine that verifies deliveries and shows them."""
