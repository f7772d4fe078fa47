FROM golang:1.26-alpine AS build
WORKDIR /src
# Before the sources: a change to them alone fetches no module again.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# What parley_build_info says: --build-arg VERSION=v1.2.3 --build-arg COMMIT=$(git rev-parse HEAD).
# The build's context has no repository to find it in.
ARG VERSION="" COMMIT=""
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w -X main.builtVersion=$VERSION -X main.builtCommit=$COMMIT" -o /parley ./cmd/parley

# Holds CA certificates, a user that is not root, and no shell.
FROM gcr.io/distroless/static-debian12:nonroot
ARG VERSION="" COMMIT=""
LABEL org.opencontainers.image.title="parley" \
      org.opencontainers.image.description="State service behind a Copilot Studio chat front end" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT"
COPY --from=build /parley /parley
EXPOSE 3001
# Of the process alone: a container must not be restarted because Redis is away.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/parley", "healthcheck"]
ENTRYPOINT ["/parley"]
