"""Events of runs, delivered to a deployment's callback URL until its receiver has them."""
