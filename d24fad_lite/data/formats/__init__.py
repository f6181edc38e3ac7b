"""Image files as they are stored: PNG, JPEG, BMP, TIFF, DICOM, each read to the last grey value or refused by name.

`recognise` says what kind a file is, `stored_pixels` reads all kinds but DICOM (`dicom`), and `data.images` makes squares
of what they give. To add a format: its first bytes in `recognise`, and its pixels in `stored_pixels.read_stored`.
"""
