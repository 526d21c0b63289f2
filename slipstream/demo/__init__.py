"""The demo of the first start: a trained model, a flow around it, and a deployment."""
