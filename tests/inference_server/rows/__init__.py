"""The proof that rows of a model are independent, checked on real runs."""
