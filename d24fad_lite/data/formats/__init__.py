"""Image files as they are stored: PNG, JPEG, BMP, TIFF and DICOM are read at full depth, or refused with a reason.

`recognise` says what kind a file is, `dicom` reads DICOM, `stored_pixels` reads all other kinds, and `data.images`
resizes what they give to squares. To add a format, put its first bytes into `recognise` and read its pixels in
`stored_pixels.read_stored`.
"""
