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
COPY --from=build /parley /parley
EXPOSE 3001
ENTRYPOINT ["/parley"]
