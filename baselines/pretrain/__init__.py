"""Recipes that make the weights which ship with the repository."""
