package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/store/redis"
)

// file is a file with that in it.
func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// What the settings say of Redis beside its URL is taken as it stands, in every mode.
func TestDeployments(t *testing.T) {
	password, token := file(t, "S3CR3T\n"), file(t, "a.b.c")
	for name, c := range map[string]struct {
		pairs []string
		mode  redis.Mode
		warns string // part of a warning; "" for none
	}{
		"memory":                      {nil, redis.ModeSingle, ""},
		"single":                      {[]string{"REDIS_URL", "redis://h/3"}, redis.ModeSingle, ""},
		"single, said":                {[]string{"REDIS_URL", "redis://h", "REDIS_MODE", "single", "REDIS_WAIT_REPLICAS", "1"}, redis.ModeSingle, ""},
		"cluster":                     {[]string{"REDIS_URL", "redis://a:6379/0", "REDIS_MODE", "cluster", "REDIS_NODES", "b:6379, [::1]:6379,10.0.0.1:7000"}, redis.ModeCluster, "AUTH_REQUIRED"},
		"cluster, ?db=0":              {[]string{"REDIS_URL", "redis://a:6379?db=0", "REDIS_MODE", "cluster"}, redis.ModeCluster, "AUTH_REQUIRED"},
		"cluster whose callers do":    {[]string{"REDIS_URL", "rediss://a", "REDIS_MODE", "cluster", "AUTH_REQUIRED", "true", "AZURE_TENANT_NAME", "contoso", "AZURE_CLIENT_ID", "app", "AUTH_SCOPES", "s", "REDIS_TLS_SERVER_NAME", "b.example"}, redis.ModeCluster, ""},
		"sentinel":                    {[]string{"REDIS_URL", "redis://:p@s1:26379/2", "REDIS_MODE", "sentinel", "REDIS_SENTINEL_MASTER", "my-master.1", "REDIS_SENTINEL_USER", "u", "REDIS_SENTINEL_PASSWORD", "p", "REDIS_NODES", "s2:26379,s3:26379"}, redis.ModeSentinel, ""},
		"sentinel without a port":     {[]string{"REDIS_URL", "redis://s1", "REDIS_MODE", "sentinel", "REDIS_SENTINEL_MASTER", "m", "REDIS_SENTINEL_PASSWORD", "p"}, redis.ModeSentinel, "26379"},
		"a password in a file":        {[]string{"REDIS_URL", "redis://user@h", "REDIS_PASSWORD_FILE", password}, redis.ModeSingle, ""},
		"the machine's identity":      {[]string{"REDIS_URL", "rediss://h", "REDIS_ENTRA", "managed-identity"}, redis.ModeSingle, ""},
		"an identity of the machine":  {[]string{"REDIS_URL", "rediss://h", "REDIS_ENTRA", "managed-identity", "REDIS_ENTRA_CLIENT_ID", "id", "REDIS_ENTRA_OBJECT_ID", "oid"}, redis.ModeSingle, ""},
		"the workload's identity":     {[]string{"REDIS_URL", "rediss://h", "REDIS_ENTRA", "workload-identity", "REDIS_ENTRA_CLIENT_ID", "id", "REDIS_ENTRA_TENANT_ID", "t", "REDIS_ENTRA_TOKEN_FILE", token}, redis.ModeSingle, ""},
		"an application":              {[]string{"REDIS_URL", "rediss://h", "REDIS_ENTRA", "client-secret", "REDIS_ENTRA_CLIENT_ID", "id", "REDIS_ENTRA_TENANT_ID", "t", "REDIS_ENTRA_CLIENT_SECRET", "s"}, redis.ModeSingle, ""},
		"an application elsewhere":    {[]string{"REDIS_URL", "rediss://h", "REDIS_ENTRA", "client-secret", "REDIS_ENTRA_CLIENT_ID", "id", "REDIS_ENTRA_TENANT_ID", "t", "REDIS_ENTRA_CLIENT_SECRET", "s", "REDIS_ENTRA_AUTHORITY", "https://login.microsoftonline.us/", "REDIS_ENTRA_SCOPE", "https://redis.example/.default"}, redis.ModeSingle, ""},
		"a cluster that takes tokens": {[]string{"REDIS_URL", "rediss://h:10000", "REDIS_MODE", "cluster", "REDIS_ENTRA", "managed-identity"}, redis.ModeCluster, "AUTH_REQUIRED"},
	} {
		got, err := load(enough(c.pairs...))
		if err != nil || got.deployment.mode != c.mode {
			t.Errorf("%s: mode %q, %v", name, got.deployment.mode, err)
		}
		warnings := ""
		for _, w := range got.warnings {
			if strings.HasPrefix(w, "REDIS_") {
				warnings += w
			}
		}
		if (warnings == "") != (c.warns == "") || !strings.Contains(warnings, c.warns) {
			t.Errorf("%s: warns %q", name, warnings)
		}
	}
}

// What cannot work together, or would be ignored, is refused at the start, with one
// sentence that begins with the variable and repeats no secret.
func TestDeploymentsThatCannotBe(t *testing.T) {
	password := file(t, "S3CR3T\n")
	single := func(pairs ...string) []string { return append([]string{"REDIS_URL", "redis://h"}, pairs...) }
	secured := func(pairs ...string) []string { return append([]string{"REDIS_URL", "rediss://h"}, pairs...) }
	cluster := func(pairs ...string) []string {
		return append([]string{"REDIS_URL", "redis://h", "REDIS_MODE", "cluster"}, pairs...)
	}
	sentinel := func(pairs ...string) []string {
		return append([]string{"REDIS_URL", "redis://h:26379", "REDIS_MODE", "sentinel", "REDIS_SENTINEL_MASTER", "m"}, pairs...)
	}
	managed := func(pairs ...string) []string {
		return append([]string{"REDIS_URL", "rediss://h", "REDIS_ENTRA", "managed-identity"}, pairs...)
	}
	workload := func(pairs ...string) []string {
		return append([]string{"REDIS_URL", "rediss://h", "REDIS_ENTRA", "workload-identity", "REDIS_ENTRA_CLIENT_ID", "id", "REDIS_ENTRA_TENANT_ID", "t", "REDIS_ENTRA_TOKEN_FILE", password}, pairs...)
	}
	application := func(pairs ...string) []string {
		return append([]string{"REDIS_URL", "rediss://h", "REDIS_ENTRA", "client-secret", "REDIS_ENTRA_CLIENT_ID", "id", "REDIS_ENTRA_TENANT_ID", "t", "REDIS_ENTRA_CLIENT_SECRET", "S3CR3T"}, pairs...)
	}
	for _, c := range []struct {
		pairs []string
		want  string // what the fault begins with
	}{
		{single("REDIS_MODE", "replicated"), `REDIS_MODE: "replicated" is none`},
		{single("REDIS_MODE", "Cluster"), `REDIS_MODE: "Cluster" is none`},

		// Nodes.
		{single("REDIS_NODES", "a:1"), "REDIS_NODES: would be ignored"},
		{cluster("REDIS_NODES", "a"), "REDIS_NODES: \"a\" has something that is not host:port"},
		{cluster("REDIS_NODES", "a:"), "REDIS_NODES: \"a:\" has something"},
		{cluster("REDIS_NODES", ":6379"), "REDIS_NODES: \":6379\" has something"},
		{cluster("REDIS_NODES", "a:0"), "REDIS_NODES: \"a:0\" has something"},
		{cluster("REDIS_NODES", "a:65536"), "REDIS_NODES: \"a:65536\" has something"},
		{cluster("REDIS_NODES", "a:+1"), "REDIS_NODES: \"a:+1\" has something"},
		{cluster("REDIS_NODES", "a:redis"), "REDIS_NODES: \"a:redis\" has something"},
		{cluster("REDIS_NODES", "a:1;b:1"), "REDIS_NODES: \"a:1;b:1\" has something"},
		{cluster("REDIS_NODES", "a:1 b:1"), "REDIS_NODES: \"a:1 b:1\" has something"},
		{cluster("REDIS_NODES", "::1:6379"), "REDIS_NODES: \"::1:6379\" has something"},
		{cluster("REDIS_NODES", "10.0.0.256:1"), "REDIS_NODES: \"10.0.0.256:1\" has something"},
		{cluster("REDIS_NODES", "a/b:1"), "REDIS_NODES: \"a/b:1\" has something"},
		{cluster("REDIS_NODES", "redis://a:1"), "REDIS_NODES: \"redis://a:1\" has something"},
		{cluster("REDIS_NODES", "user:S3CR3T@a:1"), "REDIS_NODES: \"(set, not shown)\" has something"},
		{cluster("REDIS_NODES", ","), "REDIS_NODES: \",\" names nothing"},
		{cluster("REDIS_NODES", "a:1,b:1,a:1"), "REDIS_NODES: \"a:1,b:1,a:1\" names an address twice"},
		{cluster("REDIS_NODES", "a.example:1,A.Example.:1"), "REDIS_NODES: \"a.example:1,A.Example.:1\" names an address twice"},
		{cluster("REDIS_NODES", "[::1]:1,[0:0::1]:01"), "REDIS_NODES: \"[::1]:1,[0:0::1]:01\" names an address twice"},
		{cluster("REDIS_NODES", "H:6379"), "REDIS_NODES: names the address of REDIS_URL again"},
		{sentinel("REDIS_NODES", "h:26379"), "REDIS_NODES: names the address of REDIS_URL again"},

		// A cluster.
		{[]string{"REDIS_URL", "redis://h/1", "REDIS_MODE", "cluster"}, "REDIS_URL: names a database"},
		{[]string{"REDIS_URL", "redis://h?db=1", "REDIS_MODE", "cluster"}, "REDIS_URL: names a database"},
		{cluster("REDIS_LEGACY", "true"), "REDIS_LEGACY: would be ignored"},
		{cluster("REDIS_SENTINEL_MASTER", "m"), "REDIS_SENTINEL_MASTER: would be ignored"},

		// Sentinels.
		{[]string{"REDIS_URL", "redis://h:26379", "REDIS_MODE", "sentinel"}, "REDIS_SENTINEL_MASTER: is missing"},
		{single("REDIS_SENTINEL_MASTER", "m"), "REDIS_SENTINEL_MASTER: would be ignored"},
		{single("REDIS_SENTINEL_USER", "u"), "REDIS_SENTINEL_USER: would be ignored"},
		{single("REDIS_SENTINEL_PASSWORD", "S3CR3T"), "REDIS_SENTINEL_PASSWORD: would be ignored"},
		{sentinel("REDIS_SENTINEL_USER", "u"), "REDIS_SENTINEL_PASSWORD: is missing"},
		{sentinel("REDIS_SENTINEL_MASTER", "my master"), "REDIS_SENTINEL_MASTER: \"my master\" has"},
		{sentinel("REDIS_SENTINEL_MASTER", "m/1"), "REDIS_SENTINEL_MASTER: \"m/1\" has"},

		// TLS, and who is shown which password.
		{single("REDIS_TLS_SERVER_NAME", "n"), "REDIS_TLS_SERVER_NAME: would be ignored"},
		{secured("REDIS_TLS_SERVER_NAME", "n:6380"), "REDIS_TLS_SERVER_NAME: \"n:6380\" is no such name"},
		{single("REDIS_PASSWORD_FILE", "/nowhere/password"), "REDIS_PASSWORD_FILE: the password file cannot be read"},
		{single("REDIS_PASSWORD_FILE", t.TempDir()), "REDIS_PASSWORD_FILE: the password file is not a regular file"},
		{single("REDIS_PASSWORD_FILE", file(t, "\n")), "REDIS_PASSWORD_FILE: the password file is empty"},
		{single("REDIS_PASSWORD_FILE", file(t, strings.Repeat("S3CR3T", 20_000))), "REDIS_PASSWORD_FILE: the password file is larger"},
		{[]string{"REDIS_URL", "redis://:S3CR3T@h", "REDIS_PASSWORD_FILE", password}, "REDIS_PASSWORD_FILE: is set, and REDIS_URL has a password"},

		// Entra ID.
		{secured("REDIS_ENTRA", "default"), `REDIS_ENTRA: "default" is none`},
		{single("REDIS_ENTRA", "managed-identity"), "REDIS_ENTRA: would show the token"},
		{[]string{"REDIS_URL", "rediss://:S3CR3T@h", "REDIS_ENTRA", "managed-identity"}, "REDIS_ENTRA: is set, and REDIS_URL has a password"},
		{[]string{"REDIS_URL", "rediss://user@h", "REDIS_ENTRA", "managed-identity"}, "REDIS_ENTRA: is set, and REDIS_URL names a user"},
		{managed("REDIS_PASSWORD_FILE", password), "REDIS_ENTRA: is set, and REDIS_PASSWORD_FILE as well"},
		{managed("REDIS_ENTRA_TENANT_ID", "t"), "REDIS_ENTRA_TENANT_ID: would be ignored"},
		{managed("REDIS_ENTRA_CLIENT_SECRET", "S3CR3T"), "REDIS_ENTRA_CLIENT_SECRET: would be ignored"},
		{managed("REDIS_ENTRA_TOKEN_FILE", password), "REDIS_ENTRA_TOKEN_FILE: would be ignored"},
		{managed("REDIS_ENTRA_AUTHORITY", "https://login.example"), "REDIS_ENTRA_AUTHORITY: would be ignored"},
		{workload("REDIS_ENTRA_CLIENT_ID", ""), "REDIS_ENTRA_CLIENT_ID: is missing"},
		{workload("REDIS_ENTRA_TENANT_ID", ""), "REDIS_ENTRA_TENANT_ID: is missing"},
		{workload("REDIS_ENTRA_TENANT_ID", "t/../x"), "REDIS_ENTRA_TENANT_ID: \"t/../x\" is no such id"},
		{workload("REDIS_ENTRA_TOKEN_FILE", "/nowhere/token"), "REDIS_ENTRA_TOKEN_FILE: cannot be read"},
		{workload("REDIS_ENTRA_TOKEN_FILE", ""), "REDIS_ENTRA_TOKEN_FILE: cannot be read"},
		{workload("REDIS_ENTRA_CLIENT_SECRET", "S3CR3T"), "REDIS_ENTRA_CLIENT_SECRET: would be ignored"},
		{application("REDIS_ENTRA_CLIENT_SECRET", ""), "REDIS_ENTRA_CLIENT_SECRET: is missing"},
		{application("REDIS_ENTRA_CLIENT_ID", ""), "REDIS_ENTRA_CLIENT_ID: is missing"},
		{application("REDIS_ENTRA_TOKEN_FILE", password), "REDIS_ENTRA_TOKEN_FILE: would be ignored"},
		{application("REDIS_ENTRA_AUTHORITY", "http://login.example"), "REDIS_ENTRA_AUTHORITY: leads to no tokens"},
		{application("REDIS_ENTRA_AUTHORITY", "https://u:S3CR3T@login.example"), "REDIS_ENTRA_AUTHORITY: leads to no tokens"},
		{secured("REDIS_ENTRA_CLIENT_ID", "id"), "REDIS_ENTRA_CLIENT_ID: would be ignored"},
		{secured("REDIS_ENTRA_OBJECT_ID", "id"), "REDIS_ENTRA_OBJECT_ID: would be ignored"},
		{secured("REDIS_ENTRA_CLIENT_SECRET", "S3CR3T"), "REDIS_ENTRA_CLIENT_SECRET: would be ignored"},

		{single("REDIS_WAIT_REPLICAS", "-1"), `REDIS_WAIT_REPLICAS: "-1" is out of range`},
		{single("REDIS_WAIT_REPLICAS", "17"), `REDIS_WAIT_REPLICAS: "17" is out of range`},

		// In memory there is nothing that any of these could be about.
		{[]string{"REDIS_MODE", "cluster"}, "REDIS_MODE: would be ignored"},
		{[]string{"REDIS_NODES", "a:1"}, "REDIS_NODES: would be ignored"},
		{[]string{"REDIS_SENTINEL_MASTER", "m"}, "REDIS_SENTINEL_MASTER: would be ignored"},
		{[]string{"REDIS_SENTINEL_USER", "u"}, "REDIS_SENTINEL_USER: would be ignored"},
		{[]string{"REDIS_SENTINEL_PASSWORD", "S3CR3T"}, "REDIS_SENTINEL_PASSWORD: would be ignored"},
		{[]string{"REDIS_TLS_SERVER_NAME", "n"}, "REDIS_TLS_SERVER_NAME: would be ignored"},
		{[]string{"REDIS_PASSWORD_FILE", password}, "REDIS_PASSWORD_FILE: would be ignored"},
		{[]string{"REDIS_ENTRA", "managed-identity"}, "REDIS_ENTRA: would be ignored"},
		{[]string{"REDIS_ENTRA_OBJECT_ID", "id"}, "REDIS_ENTRA_OBJECT_ID: would be ignored"},
		{[]string{"REDIS_WAIT_REPLICAS", "1"}, "REDIS_WAIT_REPLICAS: would be ignored"},

		// A URL that is none says so once, and nothing is made of it.
		{[]string{"REDIS_URL", "h", "REDIS_MODE", "cluster", "REDIS_NODES", "a:1", "REDIS_ENTRA", "managed-identity"}, "REDIS_URL: is no such URL"},
	} {
		_, err := load(enough(c.pairs...))
		switch {
		case err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "; expected "):
			t.Errorf("%q: %v, want one fault: %s", c.pairs, err, c.want)
		case strings.Contains(err.Error(), "S3CR3T"):
			t.Errorf("%q is repeated: %v", c.pairs, err)
		}
	}
}

// Everything that is wrong with a deployment is said at once.
func TestAllFaultsOfADeployment(t *testing.T) {
	_, err := load(enough(
		"REDIS_URL", "redis://user:S3CR3T@h/1", "REDIS_MODE", "cluster", "REDIS_NODES", "h:6379", "REDIS_SENTINEL_MASTER", "m", "REDIS_SENTINEL_USER", "u",
		"REDIS_SENTINEL_PASSWORD", "S3CR3T", "REDIS_TLS_SERVER_NAME", "n", "REDIS_PASSWORD_FILE", "/nowhere", "REDIS_LEGACY", "true", "REDIS_WAIT_REPLICAS", "99",
		"REDIS_ENTRA", "client-secret", "REDIS_ENTRA_TOKEN_FILE", "/nowhere", "REDIS_ENTRA_AUTHORITY", "https://login.example/?S3CR3T",
	))
	if err == nil {
		t.Fatal("no fault was found")
	}
	for _, name := range []string{
		"REDIS_URL", "REDIS_NODES", "REDIS_SENTINEL_MASTER", "REDIS_SENTINEL_USER", "REDIS_SENTINEL_PASSWORD", "REDIS_TLS_SERVER_NAME", "REDIS_PASSWORD_FILE", "REDIS_LEGACY",
		"REDIS_WAIT_REPLICAS", "REDIS_ENTRA", "REDIS_ENTRA_CLIENT_ID", "REDIS_ENTRA_TENANT_ID", "REDIS_ENTRA_CLIENT_SECRET", "REDIS_ENTRA_TOKEN_FILE", "REDIS_ENTRA_AUTHORITY",
	} {
		if !strings.Contains("\n"+err.Error(), "\n"+name+": ") {
			t.Errorf("nothing is said of %s", name)
		}
	}
	if strings.Contains(err.Error(), "S3CR3T") {
		t.Errorf("repeats a secret: %v", err)
	}
}

// check-config says what REDIS_URL is taken for, also where nobody has said it.
func TestCheckConfigSaysTheMode(t *testing.T) {
	for mode, e := range map[string]environment{
		"single":   enough("REDIS_URL", "redis://h"),
		"cluster":  enough("REDIS_URL", "redis://h", "REDIS_MODE", "cluster"),
		"sentinel": enough("REDIS_URL", "redis://h:1", "REDIS_MODE", "sentinel", "REDIS_SENTINEL_MASTER", "m"),
	} {
		var out, stderr bytes.Buffer
		if err := run(t.Context(), []string{"check-config"}, e, &out, &stderr); err != nil || !strings.Contains(out.String(), "REDIS_MODE                 "+mode+"\n") {
			t.Errorf("%s: %v\n%s", mode, err, out.String())
		}
		if warned := strings.Contains(stderr.String(), "one slot"); warned != (mode == "cluster") {
			t.Errorf("%s: printed %s", mode, stderr.String())
		}
	}
}
