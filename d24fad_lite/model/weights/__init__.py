"""Teacher weights that the package ships."""
