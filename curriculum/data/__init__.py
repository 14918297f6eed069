"""From a data set to problems that can be trained on: readers, conversion, refinement, its report."""
