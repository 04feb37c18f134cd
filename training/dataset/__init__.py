"""Building a data set of hard lesions with reasoning from raw public or own data (CORE-Seg, arXiv 2603.05911).

Five steps, each from manifest to manifest (`coreseg.manifest/1`), each of which can be stopped and run again:
`import`, `filter`, `reason`, `judge`, `card`. Source files are only ever read.
"""
