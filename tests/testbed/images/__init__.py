"""Container images without a container engine: our Dockerfiles executed as they stand, see `builder`."""
