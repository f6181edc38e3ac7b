"""Profiles, lessons and the unattended run of the notebook series. Import from the modules themselves."""
