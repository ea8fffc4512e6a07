# syntax=docker/dockerfile:1
# The daemon's image: one binary, CA certificates, glibc, no shell, nobody's user.
#
#   docker buildx build --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" \
#     --output type=image,name=registry.example.com/conversationd:0.1.0,rewrite-timestamp=true,push=true .
#
# Tags move; a release names what they were: docker buildx imagetools inspect rust:1.95.0-bookworm says the digest, and
# --build-arg RUST=rust:1.95.0-bookworm@sha256:… --build-arg BASE=gcr.io/distroless/cc-debian12:nonroot@sha256:… takes it.
# Both images are Debian 12, so the glibc that is linked against is the one that is there.
ARG RUST=rust:1.95.0-bookworm
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST} AS build
WORKDIR /build
ENV CARGO_NET_RETRY=5 CARGO_PROFILE_RELEASE_STRIP=debuginfo
# The same bytes from any folder: no path of this machine in the binary, and no time but the commit's.
ARG SOURCE_DATE_EPOCH=0
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} \
    RUSTFLAGS="--remap-path-prefix=/build=. --remap-path-prefix=/usr/local/cargo/registry/src=registry"
# ring and jemalloc compile C: gcc and make are in the image. Nothing else does, and no build script fetches anything.
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin conversationd \
    && install -D -m 0755 target/release/conversationd /image/usr/local/bin/conversationd \
    && install -d -m 0700 -o 65532 -g 65532 /image/run/conversationd

FROM ${BASE}
COPY --from=build /image /
USER 65532:65532
# The one place it writes, for `conversationd health`. ECS gives a volume the owner that this folder has.
VOLUME ["/run/conversationd"]
ENV CONVERSATIOND_HEALTH_FILE=/run/conversationd/health
# SIGTERM drains: give it more than 10 s of poll and 15 s of drain before SIGKILL.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/local/bin/conversationd", "health"]
ENTRYPOINT ["/usr/local/bin/conversationd"]
CMD ["run"]
