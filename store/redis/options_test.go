package redis

import (
	"context"
	"errors"
	"testing"
)

// Options that contradict each other are refused before anything is dialed.
func TestOptionsThatDoNotFit(t *testing.T) {
	t.Parallel()
	const plain, secured = "redis://r.example", "rediss://r.example"
	credentials := func(context.Context) (Credentials, error) { return Credentials{}, nil }
	for name, c := range map[string]struct {
		o    Options
		good bool
	}{
		"nothing":                        {Options{URL: plain}, true},
		"single, said":                   {Options{URL: plain, Mode: ModeSingle}, true},
		"no such mode":                   {Options{URL: plain, Mode: "replicated"}, false},
		"single with nodes":              {Options{URL: plain, Nodes: []string{"a:1"}}, false},
		"cluster":                        {Options{URL: plain, Mode: ModeCluster}, true},
		"cluster with nodes":             {Options{URL: plain, Mode: ModeCluster, Nodes: []string{"a:1", "[::1]:2"}}, true},
		"cluster with database 0":        {Options{URL: plain + "/0", Mode: ModeCluster}, true},
		"cluster with database 1":        {Options{URL: plain + "/1", Mode: ModeCluster}, false},
		"cluster with a brace":           {Options{URL: plain, Mode: ModeCluster, Prefix: "{p}:"}, false},
		"single with a brace":            {Options{URL: plain, Prefix: "{p}:"}, true},
		"cluster with a master":          {Options{URL: plain, Mode: ModeCluster, SentinelMaster: "m"}, false},
		"node without port":              {Options{URL: plain, Mode: ModeCluster, Nodes: []string{"a"}}, false},
		"node without host":              {Options{URL: plain, Mode: ModeCluster, Nodes: []string{":1"}}, false},
		"node with port 0":               {Options{URL: plain, Mode: ModeCluster, Nodes: []string{"a:0"}}, false},
		"node with port 65536":           {Options{URL: plain, Mode: ModeCluster, Nodes: []string{"a:65536"}}, false},
		"node that is a URL":             {Options{URL: plain, Mode: ModeCluster, Nodes: []string{"redis://a:1"}}, false},
		"too many nodes":                 {Options{URL: plain, Mode: ModeCluster, Nodes: make([]string, MaxNodes+1)}, false},
		"sentinel":                       {Options{URL: plain, Mode: ModeSentinel, SentinelMaster: "m", SentinelUser: "u", SentinelPassword: "p"}, true},
		"sentinel with database 1":       {Options{URL: plain + "/1", Mode: ModeSentinel, SentinelMaster: "m"}, true},
		"sentinel without a master":      {Options{URL: plain, Mode: ModeSentinel}, false},
		"password of sentinels, single":  {Options{URL: plain, SentinelPassword: "p"}, false},
		"user of sentinels, cluster":     {Options{URL: plain, Mode: ModeCluster, SentinelUser: "u"}, false},
		"name for certificates":          {Options{URL: secured, TLSServerName: "n"}, true},
		"name for certificates, no TLS":  {Options{URL: plain, TLSServerName: "n"}, false},
		"credentials":                    {Options{URL: plain, Credentials: credentials}, true},
		"credentials and password":       {Options{URL: "redis://u:p@r.example", Credentials: credentials}, false},
		"replicas to wait for":           {Options{URL: plain, WaitReplicas: 1}, true},
		"fewer than no replicas to wait": {Options{URL: plain, WaitReplicas: -1}, false},
	} {
		s, err := New(c.o)
		if s != nil {
			_ = s.Close()
		}
		if c.good && err != nil || !c.good && !errors.Is(err, ErrOptions) {
			t.Errorf("%s: New returns %v", name, err)
		}
	}
}
