package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// moduleVersion is that of a module in a module file.
func moduleVersion(t *testing.T, file, module string) string {
	t.Helper()
	data, err := os.ReadFile(root + file)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\s+` + regexp.QuoteMeta(module) + ` (v\S+)`).FindStringSubmatch(string(data))
	if m == nil {
		t.Fatalf("%s has no %s", file, module)
	}
	return m[1]
}

// The images are those of the modules that make stand-observe builds, so what was tried
// there is what runs. Jaeger 2.n has the module version 1.(n+63), Prometheus 3.n has 0.(300+n).
func TestStandRunsWhatIsTried(t *testing.T) {
	minor := func(version string, less int) string {
		var n, patch int
		if _, err := fmt.Sscanf(version[strings.Index(version, ".")+1:], "%d.%d", &n, &patch); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%d.%d", n-less, patch)
	}
	collector := moduleVersion(t, ".ci/collector/go.mod", "go.opentelemetry.io/collector/receiver/otlpreceiver")
	services := readCompose(t).Services
	for name, want := range map[string]string{
		"collector":  "otel/opentelemetry-collector-contrib:" + strings.TrimPrefix(collector, "v"),
		"jaeger":     "jaegertracing/jaeger:2." + minor(moduleVersion(t, ".ci/jaeger.mod", "github.com/jaegertracing/jaeger"), 63),
		"prometheus": "prom/prometheus:v3." + minor(moduleVersion(t, ".ci/prometheus.mod", "github.com/prometheus/prometheus"), 300),
	} {
		if got := services[name].Image; got != want {
			t.Errorf("%s is %s, what is tried is %s", name, got, want)
		}
	}
	for _, file := range []string{"README.md", "stand/README.md"} {
		if text := readTelemetry(t, file); !strings.Contains(text, collector[1:strings.LastIndex(collector, ".")]) {
			t.Errorf("%s names another version of the Collector than %s", file, collector)
		}
	}
}

// The proxy knows the instances, asks them for what they answer, and never sends a request
// again that may have reached one.
func TestStandProxy(t *testing.T) {
	config := readTelemetry(t, "stand/haproxy.cfg")
	file := readCompose(t)
	var servers []string
	for _, m := range regexp.MustCompile(`(?m)^\s*server (\S+) (\S+)$`).FindAllStringSubmatch(config, -1) {
		servers = append(servers, m[2])
	}
	var want []string
	longest := time.Duration(0)
	for name := range file.instances() {
		s := file.Services[name]
		c, err := load(environment(s.Environment))
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Profiles) > 0 {
			want = append(want, fmt.Sprintf("%s:%d", name, c.port))
			longest = max(longest, c.copilotTimeout+2*c.redisTimeout)
		}
	}
	slices.Sort(want)
	if !slices.Equal(servers, want) {
		t.Errorf("it passes requests on to %q, the instances are %q", servers, want)
	}
	for _, side := range []string{"client", "server"} {
		m := regexp.MustCompile(`(?m)^\s*timeout ` + side + ` (\d+)s$`).FindStringSubmatch(config)
		if m == nil {
			t.Fatalf("there is no timeout %s", side)
		}
		if n, _ := strconv.Atoi(m[1]); time.Duration(n)*time.Second < longest {
			t.Errorf("timeout %s is %d s; an answer may take %v", side, n, longest)
		}
	}
	for _, line := range []string{"retry-on conn-failure", "balance leastconn", "option httpchk"} {
		if !regexp.MustCompile(`(?m)^\s*` + line + `$`).MatchString(config) {
			t.Errorf("it has no line %q", line)
		}
	}
	if strings.Contains(config, "http-buffer-request") || strings.Count(config, "retry-on") != 1 {
		t.Error("it buffers, or repeats otherwise as well")
	}
	bind := regexp.MustCompile(`(?m)^\s*bind :(\d+)$`).FindStringSubmatch(config)
	if bind == nil || !slices.Contains(file.Services["proxy"].Ports, "127.0.0.1:"+bind[1]+":"+bind[1]) {
		t.Errorf("it listens at %v, and %v is open", bind, file.Services["proxy"].Ports)
	}
	asked := regexp.MustCompile(`uri (\S+)`).FindStringSubmatch(config)
	if base := startService(t, &sharedBuffer{}, "COPILOT_EMULATOR", "true"); asked == nil || !answersOK(t, base+asked[1]) {
		t.Errorf("it asks instances for %v", asked)
	}
	if haproxy, err := exec.LookPath("haproxy"); err == nil {
		// Where there is one. Names of containers are not known here.
		alone := regexp.MustCompile(`parley-\d:`).ReplaceAllString(config, "127.0.0.1:")
		if out, err := exec.CommandContext(t.Context(), haproxy, "-c", "-f", writeFile(t, "haproxy.cfg", alone)).CombinedOutput(); err != nil {
			t.Errorf("HAProxy does not take it: %v\n%s", err, out)
		}
	}
}

func answersOK(t *testing.T, url string) bool {
	t.Helper()
	status, _ := lookup(t, url)
	return status == http.StatusOK
}

// Who watches is found at the names and ports that the files of telemetry/ have.
func TestStandFilesFitTogether(t *testing.T) {
	services := readCompose(t).Services
	for _, name := range []string{"collector.yaml", "prometheus.yaml", "grafana.yaml"} {
		found := regexp.MustCompile(`(?m)(?:endpoint: |targets: \[|url: http://)([a-z]+):\d+`).FindAllStringSubmatch(readTelemetry(t, name), -1)
		for _, m := range found {
			if services[m[1]].Image == "" {
				t.Errorf("%s asks %s, which is no service", name, m[1])
			}
		}
		if len(found) == 0 {
			t.Errorf("%s asks nobody", name)
		}
	}
	mounted := func(service, file string) string {
		for _, v := range services[service].Volumes {
			if to, ok := strings.CutPrefix(v, "./telemetry/"+file+":"); ok {
				return strings.TrimSuffix(to, ":ro")
			}
		}
		t.Errorf("%s does not have %s", service, file)
		return ""
	}
	for service, files := range map[string][]string{"collector": {"collector.yaml", "stand/collector.yaml"}, "prometheus": {"prometheus.yaml"}} {
		for i, file := range files {
			if args := services[service].Command; len(args) <= i || !strings.HasSuffix(args[i], "="+mounted(service, file)) {
				t.Errorf("%s is not told to read %s: %q", service, file, args)
			}
		}
	}
	// rule_files are looked for beside the file that names them.
	if a, b := mounted("prometheus", "alerts.yaml"), mounted("prometheus", "prometheus.yaml"); path.Dir(a) != path.Dir(b) || path.Base(a) != "alerts.yaml" {
		t.Errorf("Prometheus looks for its rules in %s, and they are %s", path.Dir(b), a)
	}
	var provider struct {
		Providers []struct {
			Type    string
			Options struct{ Path string }
		}
	}
	if err := yaml.Unmarshal([]byte(readTelemetry(t, "stand/dashboards.yaml")), &provider); err != nil || len(provider.Providers) != 1 || provider.Providers[0].Options.Path != path.Dir(mounted("grafana", "dashboard.json")) {
		t.Errorf("Grafana looks for dashboards in %+v (%v)", provider, err)
	}
	for file, dir := range map[string]string{"grafana.yaml": "datasources", "stand/dashboards.yaml": "dashboards"} {
		if to := mounted("grafana", file); path.Dir(to) != "/etc/grafana/provisioning/"+dir {
			t.Errorf("%s is %s", file, to)
		}
	}

	// What the Collector has otherwise here are parts of what it has elsewhere.
	var usual, here struct {
		Processors, Connectors map[string]any
		Service                struct{ Pipelines map[string]any }
	}
	for name, into := range map[string]any{"collector.yaml": &usual, "stand/collector.yaml": &here} {
		if err := yaml.Unmarshal([]byte(readTelemetry(t, name)), into); err != nil {
			t.Fatal(err)
		}
	}
	for name := range maps.Keys(here.Service.Pipelines) {
		if usual.Service.Pipelines[name] == nil {
			t.Errorf("there is no pipeline %s to change", name)
		}
	}
	for name := range maps.Keys(here.Processors) {
		if usual.Processors[name] == nil {
			t.Errorf("there is no processor %s to change", name)
		}
	}
}

// The scripts are shell, and lead to ports that are open, to routes, to an alert and to the
// dashboard that are there.
func TestStandScripts(t *testing.T) {
	open := map[string]bool{}
	for _, s := range readCompose(t).Services {
		for _, port := range s.Ports {
			open[strings.Split(port, ":")[1]] = true
		}
	}
	base := startService(t, &sharedBuffer{}, "COPILOT_EMULATOR", "true")
	var board struct{ UID string }
	if err := json.Unmarshal([]byte(readTelemetry(t, "dashboard.json")), &board); err != nil {
		t.Fatal(err)
	}
	var alerts []string
	for _, r := range readRules(t) {
		alerts = append(alerts, r.Alert)
	}
	for _, name := range []string{"start.sh", "outage.sh"} {
		script := readTelemetry(t, "stand/"+name)
		if info, err := os.Stat(root + "telemetry/stand/" + name); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s cannot be run (%v)", name, err)
		}
		if out, err := exec.CommandContext(t.Context(), "sh", "-n", root+"telemetry/stand/"+name).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		for _, m := range regexp.MustCompile(`http://localhost:[^\s"]+`).FindAllString(script, -1) {
			u, err := url.Parse(m)
			if err != nil || !open[u.Port()] {
				t.Errorf("%s names %s, where nobody listens (%v)", name, m, err)
				continue
			}
			if uid, ok := strings.CutPrefix(u.Path, "/d/"); ok && uid != board.UID {
				t.Errorf("%s names the dashboard %s", name, uid)
			}
		}
		for _, m := range regexp.MustCompile(`Parley[A-Z]\w+`).FindAllString(script, -1) {
			if !slices.Contains(alerts, m) {
				t.Errorf("%s names the alert %s", name, m)
			}
		}
		for _, m := range regexp.MustCompile(`/(?:api/chat/\w+|readyz|try)\b`).FindAllString(script, -1) {
			if status, _ := lookup(t, base+m); status == http.StatusNotFound {
				t.Errorf("%s asks for %s", name, m)
			}
		}
	}
}

// The Collector takes what the stand changes, where make stand-observe has built one.
func TestStandCollectorTakesTheChanges(t *testing.T) {
	programs := os.Getenv(standPrograms)
	if programs == "" {
		t.Skip("needs " + standPrograms + "; make stand-observe builds it")
	}
	out, err := exec.CommandContext(t.Context(), programs+"/collector", "validate", "--config=file:"+root+"telemetry/collector.yaml", "--config=file:"+root+"telemetry/stand/collector.yaml").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
