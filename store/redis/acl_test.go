package redis_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"parley/contracttest"
	"parley/contracttest/redistest"
	"parley/store/redis"
)

// rights gives what the README says that a Redis user needs, by the heading of the
// line, as words of ACL SETUSER. The places of the suite have prefixes of their own.
func rights(t *testing.T, what string) []string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^# ` + what + `\nACL SETUSER parley on >password (.+)$`).FindSubmatch(readme)
	if m == nil {
		t.Fatalf("the README does not say what a user needs %s", what)
	}
	var words []string
	for word := range strings.FieldsSeq(string(m[1])) {
		words = append(words, strings.Replace(word, "~parley:*", "~????????-????-????-????-????????????:*", 1))
	}
	return words
}

// limited makes a user of that name and password with those rights and no others.
func limited(t *testing.T, admin *goredis.Client, words []string) {
	t.Helper()
	command := []any{"ACL", "SETUSER", "parley", "on", ">password"}
	for _, word := range words {
		command = append(command, word)
	}
	if err := admin.Do(t.Context(), command...).Err(); err != nil {
		t.Fatal(err)
	}
}

// unused gives the commands among some rights that a server was never asked for. AUTH
// is not looked for: it is for servers that do not know HELLO.
func unused(t *testing.T, url string, words []string) (commands []string) {
	t.Helper()
	asked := client(t, url).Info(t.Context(), "commandstats").Val()
	for _, word := range words {
		if command, ok := strings.CutPrefix(word, "+"); ok && command != "auth" && !strings.Contains(asked, "cmdstat_"+command+":") {
			commands = append(commands, command)
		}
	}
	return commands
}

// A user with the rights that the README lists keeps the whole contract, and uses all
// of them.
func TestContractWithLeastRights(t *testing.T) {
	redis.Slow(t)
	server := redistest.Start(t)
	words := rights(t, "a single Redis, or the primary behind sentinels")
	limited(t, client(t, server.URL()), words)
	o := redis.Options{URL: "redis://parley:password@" + server.Addr()}
	contracttest.Run(t, contracttest.Backend{Open: func(tb testing.TB) *contracttest.Place { return openAt(tb, server.URL(), o) }})
	s, err := redis.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	limited(t, client(t, server.URL()), append(words, "+select"))
	other, err := redis.New(redis.Options{URL: "redis://parley:password@" + server.Addr() + "/1", Prefix: uuid.NewString() + ":"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	if err := other.Ping(t.Context()); err != nil {
		t.Errorf("another database: %v", err)
	}
	if policy, err := s.EvictionPolicy(t.Context()); err != nil || policy == "" {
		t.Errorf("the eviction policy is %q, %v", policy, err)
	}
	if commands := unused(t, server.URL(), words); len(commands) > 0 {
		t.Errorf("nothing needs %v", commands)
	}
}
