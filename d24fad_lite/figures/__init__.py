"""Pictures with a name: the house style, maps over images, plots."""
