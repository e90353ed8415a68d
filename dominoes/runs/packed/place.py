"""Where packed runs are, and what they are called. Loads nothing."""

#: Folder of a results folder.
HOME = "packed"
#: How the names of the manifest's parts end.
MANIFEST = ".manifest.parquet"
#: How names begin that a process which died has left.
PARTIAL = ".partial-"
