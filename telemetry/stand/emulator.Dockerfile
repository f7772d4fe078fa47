# The emulated agent as a container of its own, for compose.yaml. Its context is that of
# the Dockerfile, and so is the Go that builds it.
FROM golang:1.26.8-alpine3.24@sha256:8ac98ca534ac3f51e1f420a1dd2c15e74c75cfa0f23f3ad27eb5d7236c349a0c AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /copilot-emulator ./cmd/copilot-emulator

FROM scratch
COPY --from=build /copilot-emulator /copilot-emulator
USER 65532:65532
EXPOSE 3979
ENTRYPOINT ["/copilot-emulator"]
