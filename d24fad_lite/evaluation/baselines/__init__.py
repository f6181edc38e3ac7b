"""What the method has to beat: nearest patch, mean feature, its own parts, its untrained twin, shortcuts."""
