"""The sample world: five procedural imaging tasks with exact lesion masks. Formulas and random numbers only."""
