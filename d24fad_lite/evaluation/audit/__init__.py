"""The audit: does a score depend on anything but its image and the supports, and can the data give the label away?"""
