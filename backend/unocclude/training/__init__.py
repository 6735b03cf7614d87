"""Training of the bundled models, one file per model. `unocclude train WHAT` runs them."""
