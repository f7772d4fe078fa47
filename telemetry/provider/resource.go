package provider

import (
	"context"
	"regexp"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// newResource says who exports: the service and this instance of it, the host, the
// container and the process. It leaves out the process' owner, which is a person's name,
// and its command line, which may hold a secret. Kubernetes tells a process nothing but
// by variables, so what it knows comes in OTEL_RESOURCE_ATTRIBUTES, which win over
// everything else. An error says what could not be found out; the rest is there.
func newResource(ctx context.Context, version string) (*resource.Resource, error) {
	return resource.New(ctx,
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithOSType(), resource.WithDetectors(container{}),
		resource.WithProcessPID(), resource.WithProcessRuntimeName(), resource.WithProcessRuntimeVersion(),
		resource.WithAttributes(semconv.ServiceName(ServiceName), semconv.ServiceVersion(version), semconv.ServiceInstanceID(uuid.NewString())),
		resource.WithFromEnv(),
	)
}

// container finds the id of the container. The SDK's own detector takes the last number
// in the name of any control group for one, such as that of a login session.
type container struct{}

// Detect implements resource.Detector.
func (container) Detect(ctx context.Context) (*resource.Resource, error) {
	found, err := resource.New(ctx, resource.WithContainerID())
	if id, ok := found.Set().Value(semconv.ContainerIDKey); !ok || !containerID.MatchString(id.AsString()) {
		return resource.Empty(), err
	}
	return found, err
}

// containerID is an id as container engines make it.
var containerID = regexp.MustCompile(`^[0-9a-f]{64}$`)
