package provider

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// The signals as the variables name them.
const (
	traces  = "TRACES"
	metrics = "METRICS"
	logs    = "LOGS"
)

// propagatesNothing is the value of OTEL_PROPAGATORS that has trace contexts neither read
// nor sent. The only other value is W3C Trace Context: nothing here reads or writes another
// form, and a stranger's baggage must not reach the agent.
const propagatesNothing = "none"

// disabled reports whether OTEL_SDK_DISABLED turns telemetry off. Its value has no
// case (OpenTelemetry specification, "Boolean value").
func disabled(getenv func(string) string) bool {
	return strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true")
}

// Check reports every OTEL_* variable that cannot be followed as it stands, each by
// its name. The SDK would log some of them, value included, and go on without; a
// value is never repeated here, for it may hold a key.
func Check(getenv func(string) string) []error {
	if disabled(getenv) {
		return nil
	}
	var faults []error
	table := variables(getenv)
	for _, name := range slices.Sorted(maps.Keys(table)) {
		if v := getenv(name); v != "" && table[name] != nil {
			if err := table[name](v); err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	if _, err := sampler(getenv); err != nil {
		faults = append(faults, err)
	}
	return faults
}

// Variables are the names of the OTEL_* variables that mean something here.
func Variables() []string {
	return slices.Sorted(maps.Keys(variables(func(string) string { return "" })))
}

// variables says what each variable must be; nil is anything.
func variables(getenv func(string) string) map[string]func(string) error {
	table := map[string]func(string) error{
		"OTEL_SDK_DISABLED": boolean, "OTEL_SERVICE_NAME": nil, "OTEL_RESOURCE_ATTRIBUTES": attributes, "OTEL_PROPAGATORS": oneOf("tracecontext", propagatesNothing),
		"OTEL_TRACES_SAMPLER": nil, "OTEL_TRACES_SAMPLER_ARG": nil, // read together
		"OTEL_METRIC_EXPORT_INTERVAL": from(1), "OTEL_METRIC_EXPORT_TIMEOUT": from(1),
		"OTEL_METRICS_EXEMPLAR_FILTER": oneOf("always_on", "always_off", "trace_based"), "OTEL_METRICS_PRODUCERS": listOf("none", "prometheus"),
		"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE":        oneOf("cumulative", "delta", "lowmemory"),
		"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": oneOf("explicit_bucket_histogram", "base2_exponential_bucket_histogram"),
		"OTEL_EXPORTER_PROMETHEUS_HOST":                            nil, "OTEL_EXPORTER_PROMETHEUS_PORT": from(1),
		"OTEL_TRACES_EXPORTER": oneOf("otlp", "console", "none"), "OTEL_LOGS_EXPORTER": oneOf("otlp", "console", "none"),
		"OTEL_METRICS_EXPORTER": oneOf("otlp", "console", "prometheus", "none"),
	}
	for _, processor := range []string{"BSP", "BLRP"} {
		for _, what := range []string{"SCHEDULE_DELAY", "EXPORT_TIMEOUT", "MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE"} {
			table["OTEL_"+processor+"_"+what] = from(1)
		}
	}
	for _, of := range []string{"", "SPAN_", "EVENT_", "LINK_", "LOGRECORD_"} {
		for _, what := range []string{"COUNT", "VALUE_LENGTH", "VALUE_DEPTH"} {
			table["OTEL_"+of+"ATTRIBUTE_"+what+"_LIMIT"] = from(-1)
		}
	}
	table["OTEL_SPAN_EVENT_COUNT_LIMIT"], table["OTEL_SPAN_LINK_COUNT_LIMIT"] = from(-1), from(-1)
	for _, signal := range []string{"", traces + "_", metrics + "_", logs + "_"} {
		otlp := "OTEL_EXPORTER_OTLP_" + signal
		table[otlp+"PROTOCOL"] = oneOf("grpc", "http/protobuf")
		table[otlp+"ENDPOINT"] = endpoint(first(getenv(otlp+"PROTOCOL"), getenv("OTEL_EXPORTER_OTLP_PROTOCOL")) == "grpc")
		table[otlp+"HEADERS"] = headers
		table[otlp+"TIMEOUT"] = from(0)
		table[otlp+"COMPRESSION"] = oneOf("gzip", "none")
		table[otlp+"INSECURE"] = boolean
		table[otlp+"CERTIFICATE"] = certificates
		key := getenv(otlp + "CLIENT_KEY")
		table[otlp+"CLIENT_CERTIFICATE"] = func(v string) error { return pair(v, key) }
		table[otlp+"CLIENT_KEY"] = func(string) error {
			if getenv(otlp+"CLIENT_CERTIFICATE") == "" {
				return errors.New("has no certificate beside it; expected " + otlp + "CLIENT_CERTIFICATE as well")
			}
			return nil
		}
	}
	return table
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func boolean(v string) error {
	if !strings.EqualFold(v, "true") && !strings.EqualFold(v, "false") {
		return errors.New("is neither true nor false")
	}
	return nil
}

func oneOf(known ...string) func(string) error {
	return func(v string) error {
		if !slices.Contains(known, v) {
			return errors.New("is nothing known here; expected " + strings.Join(known, " or "))
		}
		return nil
	}
}

func listOf(known ...string) func(string) error {
	return func(v string) error {
		for part := range strings.SplitSeq(v, ",") {
			if err := oneOf(known...)(part); err != nil {
				return err
			}
		}
		return nil
	}
}

func from(low int) func(string) error {
	return func(v string) error {
		if n, err := strconv.Atoi(v); err != nil || n < low {
			return fmt.Errorf("is no whole number from %d", low)
		}
		return nil
	}
}

// endpoint checks where a collector is. Without a scheme nothing says whether the
// way there is to be encrypted, and url.Parse takes a host for one.
func endpoint(grpc bool) func(string) error {
	return func(v string) error {
		u, err := url.Parse(v)
		switch {
		case !strings.Contains(v, "://"):
			return errors.New("has no scheme; expected http:// or https:// before the host")
		case err != nil:
			return errors.New("is no URL; expected http://host:port or https://host:port")
		case grpc && u.Scheme == "unix" && u.Host == "":
			return nil
		case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
			return errors.New("leads nowhere; expected http://host:port or https://host:port")
		case u.User != nil:
			return errors.New("has a user or password, which would be dropped; expected OTEL_EXPORTER_OTLP_HEADERS for them")
		case u.RawQuery != "" || u.Fragment != "":
			return errors.New("has a query or fragment, which would be dropped; expected OTEL_EXPORTER_OTLP_HEADERS for keys")
		}
		if port := u.Port(); port != "" {
			if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
				return errors.New("has no port from 1 to 65535")
			}
		}
		return nil
	}
}

// headers checks what the SDK reads one by one, dropping those it cannot.
func headers(v string) error {
	for part := range strings.SplitSeq(v, ",") {
		name, value, ok := strings.Cut(part, "=")
		if !ok || !isToken(strings.TrimSpace(name)) {
			return errors.New("has a part that is no header; expected name=value, separated by commas, and %2C for a comma in a value")
		}
		if _, err := url.PathUnescape(value); err != nil {
			return errors.New("has a % that begins no escape; expected %25 for it")
		}
	}
	return nil
}

// isToken reports whether s can be the name of a header (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func attributes(v string) error {
	for part := range strings.SplitSeq(v, ",") {
		name, value, ok := strings.Cut(part, "=")
		_, err := url.PathUnescape(value)
		if !ok || strings.TrimSpace(name) == "" || err != nil {
			return errors.New("has a part that is no attribute; expected name=value, separated by commas")
		}
	}
	return nil
}

func certificates(file string) error {
	pem, err := os.ReadFile(file) //nolint:gosec // the operator says which
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return errors.New("cannot be read; expected a file of PEM certificates")
	}
	return nil
}

func pair(certificate, key string) error {
	if _, err := tls.LoadX509KeyPair(certificate, key); err != nil {
		return errors.New("cannot be read with its key; expected a PEM file, and the key in the variable that ends in CLIENT_KEY")
	}
	return nil
}

// secrets replaces what the headers of the exporters hold, should the SDK or a
// collector repeat it.
func secrets(getenv func(string) string) *strings.Replacer {
	var pairs []string
	for _, signal := range []string{"", traces + "_", metrics + "_", logs + "_"} {
		for part := range strings.SplitSeq(getenv("OTEL_EXPORTER_OTLP_"+signal+"HEADERS"), ",") {
			_, value, _ := strings.Cut(part, "=")
			plain, _ := url.PathUnescape(value)
			for _, s := range []string{strings.TrimSpace(value), strings.TrimSpace(plain)} {
				if s != "" {
					pairs = append(pairs, s, "…")
				}
			}
		}
	}
	return strings.NewReplacer(pairs...)
}
