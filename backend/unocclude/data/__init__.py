"""Procedural everyday objects, their pictures, and half-hidden scenes of them: what the bundled models learn from."""
