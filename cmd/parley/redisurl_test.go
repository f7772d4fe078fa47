package main

import (
	"strings"
	"testing"
)

// A URL that would be read in another way than its author meant is refused, with
// what to write instead and nothing of the URL.
func TestRedisURL(t *testing.T) {
	for _, good := range []string{
		"redis://h", "redis://h:6379", "rediss://h:6380/0", "redis://h/15", "redis://h/", "redis://:pass@h:6379", "redis://user:pass@h:6379/1",
		"redis://user@h", "redis://:p%40ss%23%2F%3F%25%3A@h", "redis://:p$a!b&c'd(e)*f+g,h;i=j@h", "redis://:a:b:c@h", "redis://[::1]:6379", "redis://10.0.0.1:1",
		"redis://h:65535", "redis://h?db=3", "redis://h?protocol=2&client_name=parley", "rediss://my-cache.redis.cache.windows.net:6380",
	} {
		if _, err := load(enough("REDIS_URL", good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, want := range map[string]string{
		"redis://:S3#CR3T@h:6379":        "%23",
		"redis://:S3CR3T#@h:6379":        "%23",
		"redis://:S3/CR3T@h:6379":        "%2F",
		"redis://:/S3CR3T@h:6379":        "%2F",
		"redis://:S3?CR3T@h:6379":        "%3F",
		"redis://:S3@CR3T@h:6379":        "%40",
		"redis://:S3CR3T@@h:6379":        "%40",
		"redis://:S3%CR3T@h:6379":        "%25",
		"redis://:S3CR3T%@h:6379":        "%25",
		"redis://:S3^CR3T@h:6379":        "%5E",
		"redis://:S3 CR3T@h:6379":        "%5E",
		"redis://:S3[CR3T@h:6379":        "%5E",
		"redis://:S3\"CR3T@h:6379":       "%5E",
		"redis://us/er:S3CR3T@h:6379":    "%2F",
		"redis://h:6379#S3CR3T":          "%23",
		"redis://a:6379,b:6379":          "more than one host",
		"redis://:S3CR3T@a,b":            "more than one host",
		"redis://h:99999":                "port",
		"redis://h:0":                    "port",
		"redis://h:-1":                   "port",
		"redis://h:6379x":                "port",
		"redis://h:":                     "port",
		"redis://":                       "host",
		"redis://:S3CR3T@":               "host",
		"redis://:6379":                  "host",
		"redis:///0":                     "host",
		"redis://h/x":                    "database",
		"redis://h/0/1":                  "database",
		"redis://h/-1":                   "database",
		"redis://h/99999999999":          "database",
		"redis://h?dial_timeout=S3CR3T":  "ignored",
		"redis://h?pool_size=5":          "ignored",
		"redis://h?S3CR3T=1":             "ignored",
		"redis://h?max_retries=9":        "ignored",
		"redis://h/1?db=2":               "twice",
		"redis://h?db=1&db=2":            "twice",
		"redis://h?db=x":                 "no such URL",
		"rediss://h?skip_verify=true":    "skip_verify",
		"http://user:S3CR3T@h":           "redis://",
		"h:6379":                         "redis://",
		"REDIS://h":                      "redis://",
		"unix:///run/redis.sock":         "redis://",
		"user:S3CR3T@h:6379":             "redis://",
		"redis-sentinel://h":             "redis://",
		" redis://h":                     "white space",
		"redis://h\n":                    "white space",
		" ":                              "white space",
		"rediss://h,h2:6380,password=S3": "more than one host",
	} {
		_, err := load(enough("REDIS_URL", bad))
		if err == nil || !strings.HasPrefix(err.Error(), "REDIS_URL: ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want one fault that says %q", bad, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "S3") || strings.Contains(err.Error(), "CR3T")) {
			t.Errorf("%q is repeated: %v", bad, err)
		}
	}
}
