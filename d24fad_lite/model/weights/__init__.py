"""Where a teacher's weights come from: shipped in the package, timm's caches, an installed package, a download."""
