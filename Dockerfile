# The images are named by digest, because a tag can be moved; .github/dependabot.yml has
# newer ones proposed. The binary is built here, for the machine that the image is for:
# that needs BuildKit, and no emulator.
FROM --platform=$BUILDPLATFORM golang:1.26.8-alpine3.24@sha256:8ac98ca534ac3f51e1f420a1dd2c15e74c75cfa0f23f3ad27eb5d7236c349a0c AS build
WORKDIR /src
# Before the sources: a change to them alone fetches no module again.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH
# What parley_build_info says: --build-arg VERSION=v1.2.3 --build-arg COMMIT=$(git rev-parse HEAD).
# The build's context has no repository to find it in.
ARG VERSION="" COMMIT=""
# The flags are those of .ci/goreleaser.yaml, so that both make the same bytes.
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
    -ldflags="-s -w -X main.builtVersion=$VERSION -X main.builtCommit=$COMMIT" -o /parley ./cmd/parley

# Holds CA certificates, a user that is not root, and no shell. Parley writes no file: it
# runs with a read-only root.
FROM gcr.io/distroless/static-debian13:nonroot@sha256:e2e927ec666bae08560abb3c55d0659eceabb657f56b6782ab500a9fc7f555e3
ARG VERSION="" COMMIT=""
LABEL org.opencontainers.image.title="parley" \
      org.opencontainers.image.description="State service behind a Copilot Studio chat front end" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT"
COPY --from=build /parley /parley
# The base's own, by number: an orchestrator that allows no root cannot judge a name.
USER 65532:65532
EXPOSE 3001
# Of the process alone: a container must not be restarted because Redis is away.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/parley", "healthcheck"]
ENTRYPOINT ["/parley"]
