# Stand-in for caddy:2, where no registry answers: the program of our own image, as the official image runs it.
ARG BASE=towonel-stand-in-base
FROM towonel-hub-caddy AS ours
FROM ${BASE}
COPY --from=ours /usr/local/bin/caddy /usr/bin/caddy
ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
WORKDIR /srv
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
