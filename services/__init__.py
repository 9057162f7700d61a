"""The four services of the pipeline. They never import one another; they speak through `shared.models`."""
