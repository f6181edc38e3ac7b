"""Images on disk, from one file to a benchmark of tasks.

    benchmark       a folder of tasks as a mapping; a task has train and test images
    layouts/        how the files of a task may lie on disk; here a data layout is added
    image_set       one split: pixels, masks and hashes of its files, decoded when asked for
    images          one image or mask file -> one square array (load_image, read_mask)
    formats/        PNG, JPEG, TIFF and DICOM as they are stored; here a file format is added
    inspection      what is wrong with the files of a task; image_facts and near_copies help
    supports        which images serve as supports
    samples/        the procedural sample world          convert/   published downloads into our layout

Import from the modules themselves, for example `from d24fad_lite.data.benchmark import open_benchmark`.
"""
