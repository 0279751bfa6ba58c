"""Recurrent sequence-to-sequence translation, from a recipe to a score."""
