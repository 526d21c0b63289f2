"""What every HTTP route shares: problem bodies, body limits, paging. Knows no feature."""
