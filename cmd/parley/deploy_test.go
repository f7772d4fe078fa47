package main

import (
	"errors"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"parley/contracttest/ports"
)

// deployed is a container as one of the files of telemetry/deploy has it, and what is
// around it there, as far as tests read it.
type deployed struct {
	env    environment
	ports  map[string]int // by name; kubernetes.yaml only
	probes map[string]healthProbe
	target string // where callers' requests go: the name or number of a port
	grace  time.Duration
}

type healthProbe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// container is what both files write alike.
type container struct {
	Ports []struct {
		Name string
		Port int `yaml:"containerPort"`
	}
	Env []struct {
		Name, Value string
		Secret      string `yaml:"secretRef"`
		From        struct {
			Secret struct{ Name, Key string } `yaml:"secretKeyRef"`
			Field  struct {
				Path string `yaml:"fieldPath"`
			} `yaml:"fieldRef"`
		} `yaml:"valueFrom"`
	}
	Startup   healthProbe `yaml:"startupProbe"`
	Liveness  healthProbe `yaml:"livenessProbe"`
	Readiness healthProbe `yaml:"readinessProbe"`
	Probes    []struct {
		Type        string
		healthProbe `yaml:",inline"`
	}
	Security struct {
		Escalation bool                    `yaml:"allowPrivilegeEscalation"`
		ReadOnly   bool                    `yaml:"readOnlyRootFilesystem"`
		Caps       struct{ Drop []string } `yaml:"capabilities"`
	} `yaml:"securityContext"`
	Resources struct{ Requests, Limits map[string]string }
	Mounts    []struct {
		Path string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

// environment is what the container has; secrets are some text, and files some file.
func (c container) environment(t *testing.T) environment {
	t.Helper()
	e := environment{}
	for _, v := range c.Env {
		value := v.Value
		if v.Secret != "" || v.From.Secret.Key != "" {
			value = "0123456789abcdef"
		}
		for _, m := range c.Mounts {
			if strings.HasPrefix(value, m.Path+"/") {
				value = file(t, "secret")
			}
		}
		if _, twice := e[v.Name]; twice {
			t.Errorf("%s is there twice", v.Name)
		}
		e[v.Name] = value
	}
	return e
}

// object is any of Kubernetes, as far as tests read it.
type object struct {
	Kind string
	Spec struct {
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				Grace      int `yaml:"terminationGracePeriodSeconds"`
				Containers []container
				Security   struct {
					NonRoot bool `yaml:"runAsNonRoot"`
					User    int  `yaml:"runAsUser"`
				} `yaml:"securityContext"`
			}
		}
		Selector yaml.Node
		Pods     yaml.Node `yaml:"podSelector"`
		Affinity string    `yaml:"sessionAffinity"`
		Ports    []struct {
			Target string `yaml:"targetPort"`
		}
		Min     int `yaml:"minReplicas"`
		Metrics []struct {
			Pods struct{ Metric struct{ Name string } }
		}
	}
}

// label is the value of the one label that a selector asks for.
func label(t *testing.T, selector yaml.Node) string {
	t.Helper()
	text, err := yaml.Marshal(&selector)
	if err != nil {
		t.Fatal(err)
	}
	_, value, _ := strings.Cut(string(text), "app.kubernetes.io/name: ")
	return strings.Trim(strings.TrimSpace(value), "}")
}

func kubernetes(t *testing.T) (objects map[string]object) {
	t.Helper()
	objects = map[string]object{}
	dec := yaml.NewDecoder(strings.NewReader(readTelemetry(t, "deploy/kubernetes.yaml")))
	for {
		var o object
		switch err := dec.Decode(&o); {
		case errors.Is(err, io.EOF):
			return objects
		case err != nil:
			t.Fatal(err)
		}
		objects[o.Kind] = o
	}
}

// deployments are those of both files.
func deployments(t *testing.T) map[string]deployed {
	t.Helper()
	objects := kubernetes(t)
	pod := objects["Deployment"].Spec.Template.Spec
	if len(pod.Containers) != 1 {
		t.Fatalf("the pod has %d containers", len(pod.Containers))
	}
	c := pod.Containers[0]
	k8s := deployed{env: c.environment(t), ports: map[string]int{}, probes: map[string]healthProbe{"Startup": c.Startup, "Liveness": c.Liveness, "Readiness": c.Readiness}, grace: time.Duration(pod.Grace) * time.Second}
	for _, p := range c.Ports {
		k8s.ports[p.Name] = p.Port
	}
	if ports := objects["Service"].Spec.Ports; len(ports) == 1 {
		k8s.target = ports[0].Target
	}

	var app struct {
		Properties struct {
			Configuration struct {
				Ingress struct {
					Target string                    `yaml:"targetPort"`
					Sticky struct{ Affinity string } `yaml:"stickySessions"`
					More   []any                     `yaml:"additionalPortMappings"`
				}
				Secrets []struct{ Name string }
			}
			Template struct {
				Grace      int `yaml:"terminationGracePeriodSeconds"`
				Containers []container
				Scale      struct {
					Min int `yaml:"minReplicas"`
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(readTelemetry(t, "deploy/containerapp.yaml")), &app); err != nil {
		t.Fatal(err)
	}
	p := app.Properties
	if len(p.Template.Containers) != 1 || p.Template.Scale.Min < 2 || p.Configuration.Ingress.Sticky.Affinity != "none" || len(p.Configuration.Ingress.More) > 0 {
		t.Fatalf("the app is %+v", p)
	}
	c = p.Template.Containers[0]
	aca := deployed{env: c.environment(t), probes: map[string]healthProbe{}, target: p.Configuration.Ingress.Target, grace: time.Duration(p.Template.Grace) * time.Second}
	for _, p := range c.Probes {
		aca.probes[p.Type] = p.healthProbe
	}
	for _, v := range c.Env {
		if v.Secret != "" && !slices.ContainsFunc(p.Configuration.Secrets, func(s struct{ Name string }) bool { return s.Name == v.Secret }) {
			t.Errorf("there is no secret %s", v.Secret)
		}
	}
	return map[string]deployed{"kubernetes.yaml": k8s, "containerapp.yaml": aca}
}

// What the files set are settings, and amount to a service that starts; what they probe is
// answered where they ask for it; and it may stop in its own time.
func TestDeployFiles(t *testing.T) {
	known := map[string]bool{"POD": true, "NAMESPACE": true, "NODE": true} // of which OTEL_RESOURCE_ATTRIBUTES is made
	for _, s := range settings() {
		known[s.name] = true
	}
	admin := ports.Of(t)
	startService(t, &sharedBuffer{}, "COPILOT_EMULATOR", "true", "ADMIN_PORT", admin.Number)
	for name, d := range deployments(t) {
		for variable := range d.env {
			if !known[variable] && !strings.HasPrefix(variable, "OTEL_") {
				t.Errorf("%s: %s is no setting", name, variable)
			}
		}
		c, err := load(d.env)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(c.warnings) > 0 || !c.authRequired || !c.readyWithoutStore || c.drainDelay == 0 {
			t.Errorf("%s: warns %q", name, c.warnings)
		}
		if c.shutdownTimeout < c.copilotTimeout+c.redisTimeout || d.grace != c.drainDelay+c.shutdownTimeout+2*time.Second {
			t.Errorf("%s: it has %v to stop in, and turns %v", name, d.grace, c.shutdownTimeout)
		}
		port := func(p string) int {
			if n, err := strconv.Atoi(p); err == nil {
				return n
			}
			return d.ports[p]
		}
		if port(d.target) != c.port {
			t.Errorf("%s: callers are sent to %s, and the service is at %d", name, d.target, c.port)
		}
		for kind, path := range map[string]string{"Startup": "/livez", "Liveness": "/livez", "Readiness": "/readyz"} {
			ask := d.probes[kind].HTTPGet
			if ask.Path != path || port(ask.Port) != c.adminPort || !answersOK(t, "http://"+admin.Addr+ask.Path) {
				t.Errorf("%s: %s asks for %s at %s", name, kind, ask.Path, ask.Port)
			}
		}
	}
}

// The objects of Kubernetes are of the same pods, which may do nothing that they need not.
func TestDeployKubernetes(t *testing.T) {
	objects := kubernetes(t)
	pod := objects["Deployment"].Spec.Template
	name := pod.Metadata.Labels["app.kubernetes.io/name"]
	for kind, selector := range map[string]yaml.Node{
		"Deployment": objects["Deployment"].Spec.Selector, "Service": objects["Service"].Spec.Selector,
		"PodDisruptionBudget": objects["PodDisruptionBudget"].Spec.Selector, "NetworkPolicy": objects["NetworkPolicy"].Spec.Pods,
	} {
		if got := label(t, selector); name == "" || got != name {
			t.Errorf("%s is of the pods %q, which are %q", kind, got, name)
		}
	}
	c := pod.Spec.Containers[0]
	if s := c.Security; s.Escalation || !s.ReadOnly || !slices.Equal(s.Caps.Drop, []string{"ALL"}) || !pod.Spec.Security.NonRoot || pod.Spec.Security.User == 0 {
		t.Errorf("the pod may do too much: %+v, %+v", s, pod.Spec.Security)
	}
	if c.Resources.Requests["memory"] == "" || c.Resources.Requests["cpu"] == "" || c.Resources.Limits["memory"] == "" {
		t.Errorf("the resources are %+v", c.Resources)
	}
	if objects["Service"].Spec.Affinity != "None" || objects["HorizontalPodAutoscaler"].Spec.Min < 2 {
		t.Error("callers stick to an instance, or there may be only one")
	}
}

// The metric that the autoscaler goes by is one that instances report.
func TestDeployScalesByAMetric(t *testing.T) {
	port := ports.Of(t)
	base := startService(t, &sharedBuffer{}, "COPILOT_EMULATOR", "true", "METRICS_PROMETHEUS", "true", "ADMIN_PORT", port.Number)
	if got := call(t, base+"/api/chat/start", struct{}{}); got.Status != http.StatusOK {
		t.Fatalf("start: %+v", got)
	}
	_, metrics := lookup(t, "http://"+port.Addr+"/metrics")
	var asked []string
	for _, m := range kubernetes(t)["HorizontalPodAutoscaler"].Spec.Metrics {
		if m.Pods.Metric.Name != "" {
			asked = append(asked, m.Pods.Metric.Name)
		}
	}
	if len(asked) != 1 || !regexp.MustCompile(`(?m)^`+asked[0]+`[{ ]`).MatchString(metrics) {
		t.Errorf("it goes by %q", asked)
	}
	if !strings.Contains(readTelemetry(t, "deploy/README.md"), asked[0]) {
		t.Errorf("README.md does not say how the autoscaler comes to %s", asked[0])
	}
}
