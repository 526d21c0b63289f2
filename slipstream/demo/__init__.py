"""The demo of the first start: a really trained model, a flow around it, a deployment of that."""
