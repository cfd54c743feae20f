# Stand-in for golang:1.26-trixie: the toolchain is that of this machine, which is the context.
ARG BASE
FROM ${BASE}
COPY . /usr/local/go
ENV PATH=/go/bin:/usr/local/go/bin:$PATH GOPATH=/go GOTOOLCHAIN=local
WORKDIR /go
CMD ["bash"]
