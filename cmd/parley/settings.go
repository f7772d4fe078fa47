package main

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/net/idna"

	"parley/server"
	"parley/server/auth"
	"parley/store"
	"parley/store/redis"
	redisentra "parley/store/redis/entra"
	"parley/telemetry"
)

// The values of COPILOT_TOKEN_FLOW.
const (
	flowOnBehalfOf        = "on-behalf-of"
	flowClientCredentials = "client-credentials"
)

// setting is one row of the table of settings: all that is known of an
// environment variable.
type setting struct {
	name    string
	group   string // name of one of groups
	def     string // value when the variable is unset or empty
	expects string // what a value must be; part of the error for a bad one
	about   string // one line for --help and .env.example
	secret  bool   // never printed
	// read puts a value into the config. Its error says what is wrong with the
	// value without repeating a secret.
	read func(c *config, value string) error
}

// settings is the table. Names that the legacy service had keep their meaning, so
// that its environment file works unchanged.
func settings() []setting {
	return []setting{
		{name: "PORT", group: "HTTP", def: "3001", expects: "a port number, 0 to 65535 (0 takes any free one)", about: "Port to listen on.", read: number(func(c *config) *int { return &c.port }, 0, 65535)},
		{name: "HOST", group: "HTTP", expects: "a host name or address, without a port", about: "Address to listen on; empty for all.", read: host},
		{name: "CORS_ORIGIN", group: "HTTP", expects: "one origin, such as https://chat.example", about: "The one origin whose pages may call the API; empty for none, but for " + devOrigin + " with AUTH_REQUIRED=false.", read: origin},
		{name: "STATIC_DIR", group: "HTTP", expects: "an existing directory", about: "A built front end to serve beside the API; empty for none.", read: directory},
		{name: "TRY_PAGE", group: "HTTP", expects: "true or false", about: "Whether GET /try serves a page to try the service with; empty for what COPILOT_EMULATOR is. Without Redis, the page can have the store fail on purpose.", read: tryPage},
		{name: "MAX_TURNS", group: "Limits", def: "1000", expects: "a number, 1 to 1000000", about: "Turns that may run at once, and four times as many requests, before more are refused with 429.", read: number(func(c *config) *int { return &c.maxTurns }, 1, 1_000_000)},
		{name: "MAX_TURNS_PER_USER", group: "Limits", def: "8", expects: "a number, 1 to 1000000", about: "Turns of one user that may run at once, when callers sign in.", read: number(func(c *config) *int { return &c.maxTurnsPerUser }, 1, 1_000_000)},
		{name: "MAX_REQUESTS_PER_USER", group: "Limits", def: "16", expects: "a number, 1 to 1000000", about: "Requests of one user that are worked on at once, when callers sign in.", read: number(func(c *config) *int { return &c.maxRequestsPerUser }, 1, 1_000_000)},
		{name: "MAX_MEMORY_IN_FLIGHT", group: "Limits", def: "67108864", expects: "bytes, 8388608 to 68719476736", about: "Bytes of all request bodies that are worked on at once, and as many of all answers, before more are refused with 429.", read: number(func(c *config) *int { return &c.maxMemory }, 8<<20, 64<<30)},
		{name: "TURN_WAIT", group: "Limits", def: "6", expects: "seconds, 0 to 60", about: "Seconds that a request waits while another turn runs in its conversation, before it is refused with 409.", read: duration(func(c *config) *time.Duration { return &c.turnWait }, time.Second, 0, 60)},
		{name: "MAX_CONNECTIONS", group: "Limits", def: "10000", expects: "a number, 1 to 1000000", about: "Connections that are kept open at once; more are closed as they come.", read: number(func(c *config) *int { return &c.maxConnections }, 1, 1_000_000)},
		{name: "SHUTDOWN_TIMEOUT", group: "Operation", def: "25", expects: "seconds, 0 to 3600", about: "Seconds that running turns get to finish after SIGTERM; a second signal ends at once.", read: duration(func(c *config) *time.Duration { return &c.shutdownTimeout }, time.Second, 0, 3600)},
		{name: "DRAIN_DELAY", group: "Operation", def: "0", expects: "seconds, 0 to 300", about: "Seconds after SIGTERM in which /readyz is 503 and everything is still served, before SHUTDOWN_TIMEOUT begins.", read: duration(func(c *config) *time.Duration { return &c.drainDelay }, time.Second, 0, 300)},
		{name: "READY_WITHOUT_STORE", group: "Operation", def: "false", expects: "true or false", about: "Whether /readyz wants traffic also while Redis does not answer, so that callers are told so.", read: boolean(func(c *config) *bool { return &c.readyWithoutStore })},
		{name: "ADMIN_PORT", group: "Operation", expects: "a port number, 0 to 65535 (0 takes any free one), and another than PORT", about: "Port for /livez, /readyz, /health in full, /metrics and /debug/pprof, outside of all limits; empty for none.", read: adminPort},
		{name: "ADMIN_HOST", group: "Operation", expects: "a host name or address, without a port", about: "Address of ADMIN_PORT; empty for that of HOST.", read: adminHost},

		{name: "REDIS_URL", group: "Store", expects: "redis://[user:password@]host:port[/db], or rediss:// for TLS", about: "Redis that keeps the conversations; empty keeps them in memory.", secret: true, read: redisURL},
		{name: "REDIS_TTL", group: "Store", def: "86400", expects: "seconds, 60 to 31536000", about: "Seconds that a conversation outlives its last write, in either store; in Redis at least nine tenths of them.", read: duration(func(c *config) *time.Duration { return &c.ttl }, time.Second, 60, 31_536_000)},
		{name: "REDIS_TIMEOUT", group: "Store", def: "5000", expects: "milliseconds, 100 to 60000", about: "Milliseconds that one call of Redis may take as a whole.", read: duration(func(c *config) *time.Duration { return &c.redisTimeout }, time.Millisecond, 100, 60_000)},
		{name: "REDIS_PREFIX", group: "Store", def: "parley:", expects: "1 to 64 visible characters without { and }", about: "What every key that is written begins with.", read: prefix},
		{name: "REDIS_LEGACY", group: "Store", def: "false", expects: "true or false", about: "Whether another REDIS_PREFIX than the default reads legacy records (conv:<id>), too; the default always does.", read: boolean(func(c *config) *bool { return &c.redisLegacy })},
		{name: "REDIS_CA_FILE", group: "Redis, certificates", expects: "a file of PEM certificates", about: "Certificates to trust for rediss://; empty for the system's.", read: text(func(c *config) *string { return &c.redisCAFile })},
		{name: "REDIS_CERT_FILE", group: "Redis, certificates", expects: "a file with a PEM certificate, and REDIS_KEY_FILE", about: "Client certificate for a Redis that wants one; read again for every connection.", read: text(func(c *config) *string { return &c.redisCertFile })},
		{name: "REDIS_KEY_FILE", group: "Redis, certificates", expects: "a file with the PEM key of REDIS_CERT_FILE", about: "Private key of that certificate.", read: text(func(c *config) *string { return &c.redisKeyFile })},
		{name: "REDIS_MODE", group: "Redis of several nodes", def: string(redis.ModeSingle), expects: "single, cluster or sentinel", about: "What REDIS_URL leads to: one primary, a node of a Redis Cluster, or a sentinel.", read: redisMode},
		{name: "REDIS_NODES", group: "Redis of several nodes", expects: "addresses as host:port, separated by commas", about: "More nodes of the cluster, or more sentinels, to ask beside the one of REDIS_URL.", read: redisNodes},
		{name: "REDIS_SENTINEL_MASTER", group: "Redis of several nodes", expects: "a name such as mymaster", about: "Name by which the sentinels know the primary.", read: sentinelMaster},
		{name: "REDIS_SENTINEL_USER", group: "Redis of several nodes", expects: "a user name, and REDIS_SENTINEL_PASSWORD", about: "User at the sentinels themselves; that of REDIS_URL is the primary's.", read: visible(func(c *config) *string { return &c.deployment.sentinelUser })},
		{name: "REDIS_SENTINEL_PASSWORD", group: "Redis of several nodes", expects: "a password", about: "Password at the sentinels themselves, likewise.", secret: true, read: text(func(c *config) *string { return &c.deployment.sentinelPassword })},
		{name: "REDIS_TLS_SERVER_NAME", group: "Redis, certificates", expects: "a host name or address, without a port", about: "Name that certificates of nodes known by an address must be for; empty for the host of REDIS_URL.", read: tlsServerName},
		{name: "REDIS_PASSWORD_FILE", group: "Redis, password", expects: "a file with the password and nothing else", about: "Password of Redis, instead of one in REDIS_URL; read again for every connection.", read: text(func(c *config) *string { return &c.deployment.passwordFile })},
		{name: "REDIS_ENTRA", group: "Redis, password", expects: "managed-identity, workload-identity or client-secret", about: "Who asks Entra ID for the tokens that Redis takes for a password; empty for none.", read: entraMethod},
		{name: "REDIS_ENTRA_CLIENT_ID", group: "Redis, password", expects: "an application id, or that of a managed identity", about: "Application that asks; empty for the machine's own managed identity.", read: visible(func(c *config) *string { return &c.deployment.entra.client })},
		{name: "REDIS_ENTRA_TENANT_ID", group: "Redis, password", expects: "a tenant id", about: "Tenant of that application.", read: pathPart(func(c *config) *string { return &c.deployment.entra.tenant })},
		{name: "REDIS_ENTRA_CLIENT_SECRET", group: "Redis, password", expects: "a client secret", about: "Secret of that application, for client-secret.", secret: true, read: text(func(c *config) *string { return &c.deployment.entra.secret })},
		{name: "REDIS_ENTRA_TOKEN_FILE", group: "Redis, password", def: defaultTokenFile, expects: "a file with a token of the platform", about: "Token of the workload's identity, for workload-identity; read again for every token.", read: text(func(c *config) *string { return &c.deployment.entra.tokenFile })},
		{name: "REDIS_ENTRA_OBJECT_ID", group: "Redis, password", expects: "an object id", about: "User name at Redis; empty for the object id in the token.", read: visible(func(c *config) *string { return &c.deployment.entra.object })},
		{name: "REDIS_ENTRA_AUTHORITY", group: "Redis, password", def: defaultAuthority, expects: "an https:// URL", about: "Where the application asks; another in a sovereign cloud.", read: visible(func(c *config) *string { return &c.deployment.entra.authority })},
		{name: "REDIS_ENTRA_SCOPE", group: "Redis, password", def: redisentra.DefaultScope, expects: "a scope, such as https://redis.azure.com/.default", about: "What the tokens are for; another in a sovereign cloud.", read: visible(func(c *config) *string { return &c.deployment.entra.scope })},
		{name: "REDIS_WAIT_REPLICAS", group: "Redis of several nodes", def: "0", expects: "a number, 0 to 16", about: "Replicas that must have an answer before the caller is told 200.", read: number(func(c *config) *int { return &c.deployment.waitReplicas }, 0, maxWaitReplicas)},
		{name: "MEMORY_MAX_CONVERSATIONS", group: "Store", def: "10000", expects: "a number, 1 to 10000000", about: "Conversations that are kept in memory; the longest idle one of the user who needs room goes first.", read: number(func(c *config) *int { return &c.maxConversations }, 1, 10_000_000)},
		{name: "MEMORY_MAX_BYTES", group: "Store", def: "134217728", expects: "bytes, 1048576 to 1099511627776", about: "Bytes of conversations that are kept in memory; likewise.", read: number(func(c *config) *int { return &c.maxMemoryBytes }, 1<<20, 1<<40)},
		{name: "MAX_CONVERSATION_TURNS", group: "Store", def: "5000", expects: "a number, 1 to 1000000", about: "Turns that a conversation may have before it is full.", read: number(func(c *config) *int { return &c.maxConversationTurns }, 1, 1_000_000)},
		{name: "MAX_CONVERSATION_BYTES", group: "Store", def: "8388608", expects: "bytes, 65536 to 1073741824", about: "Bytes that a conversation may have before it is full, with what is kept to repeat answers; its last answer may pass it.", read: number(func(c *config) *int { return &c.maxConversationBytes }, 1<<16, 1<<30)},
		{name: "MAX_CONVERSATIONS_PER_USER", group: "Store", def: "1000", expects: "a number, 1 to 1000000", about: "Conversations that one user may have, when callers sign in.", read: number(func(c *config) *int { return &c.maxConversationsPerUser }, 1, 1_000_000)},

		{name: "AUTH_REQUIRED", group: "Sign-in", def: "true", expects: "true or false", about: "Whether callers must show a token. Anything but false means true.", read: authRequired},
		{name: "DEV_OWNER", group: "Sign-in", def: store.DefaultTenant + "/" + store.DefaultUser, expects: "a tenant and a user, such as local-dev-tenant/local-dev-oid", about: "Owner of everything with AUTH_REQUIRED=false. That of the legacy service was local-dev-tenant/local-dev-oid.", read: devOwner},
		{name: "AZURE_TENANT_NAME", group: "Sign-in", expects: "the tenant's name alone, such as contoso", about: "Customer tenant (Entra External ID) that issues the callers' tokens.", read: tenantName},
		{name: "AZURE_CLIENT_ID", group: "Sign-in", expects: "an application id, without api://", about: "Application that the callers' tokens are for, bare or after api://.", read: clientID},
		{name: "ALLOWED_TENANT_IDS", group: "Sign-in", expects: "tenant ids, separated by commas", about: "Tenants whose users may come in; empty for none.", read: tenants},
		{name: "AUTH_ISSUER", group: "Sign-in", expects: "an issuer as its tokens name it, such as https://login.microsoftonline.com/<tenant id>/v2.0", about: "Any other issuer, instead of AZURE_TENANT_NAME; {tenantid} in it stands for the token's own tenant, and needs AUTH_JWKS_URL.", read: visible(func(c *config) *string { return &c.authIssuer })},
		{name: "AUTH_JWKS_URL", group: "Sign-in", expects: "an https:// URL (http:// on loopback only)", about: "Key set of AUTH_ISSUER; empty finds it by OpenID Connect discovery.", read: keysURL},
		{name: "AUTH_AUDIENCE", group: "Sign-in", expects: "audiences, separated by commas", about: "Audiences that the callers' tokens may be for, instead of AZURE_CLIENT_ID.", read: claims(func(c *config) *[]string { return &c.authAudiences })},
		{name: "AUTH_SCOPES", group: "Sign-in", expects: "scopes as the claim scp has them, such as access_as_user, separated by commas", about: "Scopes of which a user's token needs one; empty asks for none.", read: scopes},
		{name: "AUTH_ROLES", group: "Sign-in", expects: "roles as the claim roles has them, separated by commas", about: "Roles of which an application's token needs one, and a user's when AUTH_SCOPES is empty.", read: claims(func(c *config) *[]string { return &c.authRoles })},

		{name: "LLM_PROVIDER", group: "Agent", def: "copilot", expects: "copilot", about: "What the legacy service could choose; here there is one.", read: llmProvider},
		{name: "COPILOT_EMULATOR", group: "Agent", def: "false", expects: "true or false", about: "Talk to an emulated agent inside this process.", read: boolean(func(c *config) *bool { return &c.emulator })},
		{name: "COPILOT_DIRECT_CONNECT_URL", group: "Agent", expects: "the agent's connection string: an https:// URL (http:// on loopback and to COPILOT_ALLOW_HTTP only)", about: "Where the agent is; wins over the environment and schema name.", read: text(func(c *config) *string { return &c.endpoint.DirectConnectURL })},
		{name: "COPILOT_ALLOW_HTTP", group: "Agent", expects: "host names or addresses without ports, separated by commas", about: "Hosts that COPILOT_DIRECT_CONNECT_URL may name with http://, for an emulated agent: what is said and the token go there in the clear.", read: allowHTTP},
		{name: "COPILOT_ENVIRONMENT_ID", group: "Agent", expects: "an environment id", about: "Power Platform environment of the agent.", read: text(func(c *config) *string { return &c.endpoint.Environment })},
		{name: "COPILOT_AGENT_SCHEMA_NAME", group: "Agent", expects: "a schema name", about: "Schema name of the agent.", read: text(func(c *config) *string { return &c.endpoint.Schema })},
		{name: "COPILOT_CLOUD", group: "Agent", def: "Prod", expects: "the name of a Power Platform cloud", about: "Cloud of the environment: Prod, Gov, High, DoD, Mooncake, ….", read: text(func(c *config) *string { return &c.endpoint.Cloud })},
		{name: "COPILOT_STUB_TOKEN", group: "Agent", expects: "a bearer token", about: "Token that is sent to the agent for everybody.", secret: true, read: token},
		{name: "COPILOT_TENANT_ID", group: "Agent", expects: "a tenant id", about: "Tenant of the application that fetches tokens for the agent.", read: pathPart(func(c *config) *string { return &c.copilotTenant })},
		{name: "COPILOT_APP_ID", group: "Agent", expects: "an application id", about: "Application that fetches tokens for the agent.", read: visible(func(c *config) *string { return &c.copilotApp })},
		{name: "COPILOT_CLIENT_SECRET", group: "Agent", expects: "a client secret", about: "Secret of that application.", secret: true, read: text(func(c *config) *string { return &c.copilotSecret })},
		{name: "COPILOT_TOKEN_FLOW", group: "Agent", expects: "on-behalf-of or client-credentials", about: "How tokens for the agent are fetched: in exchange for the caller's, or as the application itself. Empty means on-behalf-of when callers sign in.", read: tokenFlow},
		{name: "COPILOT_AUTHORITY", group: "Agent", def: defaultAuthority, expects: "an https:// URL", about: "Where tokens for the agent are fetched; another in a sovereign cloud.", read: visible(func(c *config) *string { return &c.copilotAuthority })},
		{name: "COPILOT_SCOPE", group: "Agent", expects: "a scope, such as https://api.powerplatform.com/.default", about: "What tokens for the agent are for; empty derives it from the agent's cloud.", read: visible(func(c *config) *string { return &c.endpoint.Scope })},
		{name: "COPILOT_TIMEOUT", group: "Agent", def: "60000", expects: "milliseconds, 1000 to 5400000", about: "Milliseconds that the agent may take for a whole turn.", read: duration(func(c *config) *time.Duration { return &c.copilotTimeout }, time.Millisecond, 1000, 5_400_000)},
		{name: "MAX_ANSWER_BYTES", group: "Agent", def: "2097152", expects: "bytes, 1024 to 67108864", about: "Bytes that the agent may say in one turn, as they are stored; a message counts 1024 at least.", read: number(func(c *config) *int { return &c.maxAnswerBytes }, 1<<10, 64<<20)},

		{name: "ALLOWED_ACTION_TYPES", group: "Cards", def: "Action.Submit,Action.OpenUrl", expects: "action types, separated by commas", about: "Card actions that are let through.", read: list(func(c *config) *[]string { return &c.allowedActions })},
		{name: "ALLOWED_DOMAINS", group: "Cards", def: "copilot.microsoft.com,microsoft.com", expects: "domains such as microsoft.com, separated by commas", about: "Domains that Action.OpenUrl may lead to, or below.", read: domains},

		{name: "LOG_LEVEL", group: "Telemetry", def: "info", expects: "debug, info, warn or error", about: "Least severe lines that are logged.", read: logLevel},

		{name: "METRICS_PROMETHEUS", group: "Telemetry", def: "false", expects: "true or false", about: "Whether GET /metrics answers Prometheus. Exporters are set by the standard OTEL_* variables.", read: boolean(func(c *config) *bool { return &c.prometheus })},
		{name: "TELEMETRY_OWNER_KEY", group: "Telemetry", expects: "16 characters or more, the same for every replica", about: "Key of the hash by which users appear in traces and in the log; empty leaves them out.", secret: true, read: ownerKey},
		{name: "TRACE_TRUST", group: "Telemetry", def: string(telemetry.TrustLink), expects: "link, parent or none", about: "What a caller's traceparent is taken for: a trace to link to, the parent of our spans (only for callers of our own), or nothing.", read: traceTrust},
		{name: "TRACE_URL_TEMPLATE", group: "Telemetry", expects: "an http:// or https:// URL with {traceId} in it, such as http://localhost:16686/trace/{traceId}", about: "Where a trace can be seen, for the links of /try; empty for none.", read: traceURL},
	}
}

// tenants reads tenant ids in the case that tokens have them in.
func tenants(c *config, v string) error {
	err := claims(func(c *config) *[]string { return &c.allowedTenants })(c, v)
	for i, id := range c.allowedTenants {
		if strings.ContainsAny(id, "{}()[]<>") {
			return errors.New("has an id in brackets")
		}
		if _, notUUID := uuid.Parse(id); notUUID == nil {
			c.allowedTenants[i] = strings.ToLower(id)
		}
	}
	return err
}

// scopes also refuses scopes as clients ask for them: in a token they are bare.
func scopes(c *config, v string) error {
	v = strings.Join(strings.Fields(v), ",") // between scopes, clients write spaces
	err := claims(func(c *config) *[]string { return &c.authScopes })(c, v)
	if strings.Contains(v, "api://") {
		return errors.New("has the application's name in front of a scope")
	}
	return err
}

func clientID(c *config, v string) error {
	c.azureClientID = v
	if strings.Contains(v, "://") || strings.ContainsAny(v, `"',;{}`) {
		return errors.New("is no bare id")
	}
	return visible(func(c *config) *string { return &c.azureClientID })(c, v)
}

// authRequired fails closed.
func authRequired(c *config, v string) error {
	c.authRequired = v != "false"
	if c.authRequired && v != "true" {
		c.warnings = append(c.warnings, "AUTH_REQUIRED is neither true nor false, and taken for true")
	}
	return nil
}

// logLevel does not pass the library's error on, which repeats the value.
func logLevel(c *config, v string) error {
	if c.logLevel.UnmarshalText([]byte(v)) != nil {
		return errors.New("is no level")
	}
	return nil
}

func llmProvider(_ *config, v string) error {
	if v != "copilot" {
		return errors.New("is not served: Parley talks to Copilot Studio only")
	}
	return nil
}

// host takes an address with or without the brackets that a URL puts around it.
func host(c *config, v string) error { return hostAddress(&c.host, v) }

func adminHost(c *config, v string) error { return hostAddress(&c.adminHost, v) }

func adminPort(c *config, v string) error {
	if v == "" {
		return nil
	}
	c.admin = true
	return number(func(c *config) *int { return &c.adminPort }, 0, 65535)(c, v)
}

func hostAddress(field *string, v string) error {
	*field = v
	if inner, ok := strings.CutPrefix(v, "["); ok && strings.HasSuffix(inner, "]") {
		*field = strings.TrimSuffix(inner, "]")
		if ip, err := netip.ParseAddr(*field); err != nil || !ip.Is6() {
			return errors.New("is no address")
		}
		return nil
	}
	if _, err := netip.ParseAddr(v); err == nil || v == "" {
		return nil
	}
	if !regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$`).MatchString(v) || regexp.MustCompile(`^[0-9.]+$`).MatchString(v) {
		return errors.New("is no such name")
	}
	return nil
}

// origin refuses what could never match, and says what would: browsers write names
// in ASCII, in small letters, and leave out the port that goes without saying.
func origin(c *config, v string) error {
	if v == "" || server.ValidOrigin(v) {
		c.corsOrigin = v
		return nil
	}
	if u, err := url.Parse(v); err == nil && u.User == nil && u.RawQuery == "" && u.Fragment == "" && strings.Trim(u.Path, "/") == "" {
		name, err := idna.Lookup.ToASCII(u.Hostname())
		if ip, notIP := netip.ParseAddr(u.Hostname()); notIP == nil {
			name, err = ip.String(), nil
			if ip.Is6() {
				name = "[" + name + "]"
			}
		}
		right := u.Scheme + "://" + name
		if port := u.Port(); port != "" && (u.Scheme != "https" || port != "443") && (u.Scheme != "http" || port != "80") {
			right += ":" + port
		}
		if err == nil && server.ValidOrigin(right) {
			return fmt.Errorf("is not as browsers write it, which is %s", right)
		}
	}
	return errors.New("is not one origin as a browser writes it")
}

// domains refuses what could never match, because a typing error here would
// otherwise show only when a user's card is refused.
func domains(c *config, v string) error {
	if err := list(func(c *config) *[]string { return &c.allowedDomains })(c, v); err != nil {
		return err
	}
	name := regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+\.?$`)
	for _, d := range c.allowedDomains {
		if !name.MatchString(d) {
			return errors.New("has something that is no domain")
		}
	}
	return nil
}

// visible reads what can stand in a URL or a claim.
func visible(field func(*config) *string) func(*config, string) error {
	return func(c *config, v string) error {
		if strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return errors.New("has a character that does not belong there")
		}
		*field(c) = v
		return nil
	}
}

// tenantName becomes part of a host name.
func tenantName(c *config, v string) error {
	if v != "" && !regexp.MustCompile(`^[A-Za-z0-9-]{1,63}$`).MatchString(v) {
		return errors.New("is no such name")
	}
	c.azureTenantName = v
	return nil
}

// pathPart reads what becomes part of a path.
func pathPart(field func(*config) *string) func(*config, string) error {
	return func(c *config, v string) error {
		*field(c) = v
		if v != "" && !regexp.MustCompile(`^[A-Za-z0-9.-]{1,128}$`).MatchString(v) {
			return errors.New("is no such id")
		}
		return nil
	}
}

func tokenFlow(c *config, v string) error {
	switch v {
	case "", flowOnBehalfOf, flowClientCredentials:
		c.copilotFlow = v
		return nil
	}
	return errors.New("is neither")
}

func keysURL(c *config, v string) error {
	c.authKeysURL = v
	if v != "" && !auth.ValidURL(v) {
		return errors.New("is no such URL")
	}
	return nil
}

// token must be able to stand in a header.
func token(c *config, v string) error {
	if strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("has a character that no token has")
	}
	c.stubToken = v
	return nil
}

func traceTrust(c *config, v string) error {
	switch t := telemetry.Trust(v); t {
	case telemetry.TrustLink, telemetry.TrustParent, telemetry.TrustNone:
		c.traceTrust = t
		return nil
	}
	return errors.New("is none of them")
}

// ownerKey must not be one that can be guessed: with it anybody could tell whose
// a hash is.
func ownerKey(c *config, v string) error {
	if v != "" && utf8.RuneCountInString(v) < 16 {
		return errors.New("is too short")
	}
	c.ownerKey = v
	return nil
}

func directory(c *config, v string) error {
	if v == "" {
		return nil
	}
	info, err := os.Stat(v)
	if err != nil || !info.IsDir() {
		return errors.New("is no directory")
	}
	c.staticDir = v
	return nil
}

func prefix(c *config, v string) error {
	if len(v) > 64 || strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' || r == '{' || r == '}' }) {
		return errors.New("has other characters, or too many")
	}
	c.redisPrefix = v
	return nil
}
