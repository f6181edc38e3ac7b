"""Author tools: notebooks, exercises and their catalogue from the texts (py:percent) in texts/."""
