# What the play needs beside our own images. The context is a folder with the programs that are copied.
ARG BASE_DIGEST

# Holds a pod's namespaces.
FROM scratch AS pause
COPY busybox /bin/busybox
USER 65535:65535
ENTRYPOINT ["/bin/busybox", "sleep", "2147483647"]

# A shell, for workloads that do what a test wants.
FROM scratch AS shell
COPY busybox /bin/busybox
COPY busybox /bin/sh
USER 65535:65535
ENTRYPOINT ["/bin/sh"]

FROM scratch AS coredns
COPY coredns /coredns
ENTRYPOINT ["/coredns"]

FROM debian:trixie-slim@${BASE_DIGEST} AS redis
RUN apt-get update && apt-get install --yes --no-install-recommends redis-server && apt-get clean && rm -rf /var/lib/apt/lists/*
USER 999:999
WORKDIR /data
ENTRYPOINT ["redis-server"]

FROM debian:trixie-slim@${BASE_DIGEST} AS edge
RUN apt-get update && apt-get install --yes --no-install-recommends nginx-light && apt-get clean && rm -rf /var/lib/apt/lists/*
USER 65535:65535
ENTRYPOINT ["nginx", "-g", "daemon off;"]
