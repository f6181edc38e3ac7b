"""Public data sets, as they are downloaded, into the kit's layout: a file per source, and `converting.convert` for all.

A source's file reads the names and tables of the data set and lists its images (`records.Plan`); splitting, copying,
checking and reporting are the same for all. Nothing is downloaded, and nothing leaves the folder it is told to write.
"""
