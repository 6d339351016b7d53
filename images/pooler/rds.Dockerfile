# A pooler host in front of RDS: the program keeps HAProxy and PgBouncer and stands in for Patroni's health endpoint.
ARG BASE=debian:trixie-slim
FROM ${BASE}
ENV DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8 NODE_ENV=production
RUN groupadd --gid 6432 pooler && useradd --uid 6432 --gid 6432 --no-create-home --shell /usr/sbin/nologin pooler
RUN apt-get update \
 && apt-get install -y --no-install-recommends pgbouncer haproxy ca-certificates nodejs \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o pooler -g pooler -m 0700 /etc/pgladder
COPY host.mjs /host/host.mjs
USER pooler
EXPOSE 6432 8008
STOPSIGNAL SIGTERM
CMD ["node", "/host/host.mjs"]
