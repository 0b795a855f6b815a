"""Results that labs hand in: bundles, the checks that they have to pass, and the leaderboard."""
