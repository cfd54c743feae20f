# Stand-in for python:3.13-slim-trixie: Python is Debian's, in /usr/bin, and its headers are a package (BUILD_PACKAGES).
ARG BASE
FROM ${BASE}
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends python3 python3-venv python3-pip >/dev/null \
 && ln -s python3 /usr/bin/python \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
CMD ["python3"]
