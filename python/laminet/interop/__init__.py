"""Networks to and from other programs and files: one module or package for each.

`files` is `laminet.load`. Nothing is imported here: each importer is loaded when it is asked for.
"""
