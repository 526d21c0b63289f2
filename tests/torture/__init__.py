"""`make torture`: events to failing receivers while the dispatcher is killed, then checks."""
