"""Rehearsals: what a deployment's draft answers to recorded inputs, beside what was answered."""
