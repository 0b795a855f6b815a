"""Feature networks of the published protocols. Their weights are the user's, checked by digest."""
