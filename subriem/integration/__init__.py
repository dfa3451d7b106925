"""Steps, events and solutions of differential equations."""
