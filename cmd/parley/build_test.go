package main

import (
	"os"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
)

func TestBuild(t *testing.T) {
	settings := func(pairs ...string) (list []debug.BuildSetting) {
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, debug.BuildSetting{Key: pairs[i], Value: pairs[i+1]})
		}
		return list
	}
	for name, c := range map[string]struct {
		info            debug.BuildInfo
		version, commit string
		want            build
	}{
		"nothing known":    {want: build{"devel", "unknown"}},
		"in a checkout":    {info: debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: settings("vcs.revision", "abc", "vcs.modified", "false")}, want: build{"devel", "abc"}},
		"changed":          {info: debug.BuildInfo{Settings: settings("vcs.revision", "abc", "vcs.modified", "true")}, want: build{"devel", "abc+dirty"}},
		"a release":        {info: debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, want: build{"v1.2.3", "unknown"}},
		"said to the link": {info: debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, version: "v2", commit: "def", want: build{"v2", "def"}},
	} {
		if got := buildOf(&c.info, c.version, c.commit); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// The image's build sets what the compiler cannot find out. The linker does not
// complain of a name that is no longer there.
func TestImageKnowsWhatItWasBuiltFrom(t *testing.T) {
	dockerfile, err := os.ReadFile(root + "Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("build.go")
	if err != nil {
		t.Fatal(err)
	}
	set := regexp.MustCompile(`-X main\.(\w+)=\$(VERSION|COMMIT)\b`).FindAllStringSubmatch(string(dockerfile), -1)
	declared := regexp.MustCompile(`(?m)^var (.*) string$`).FindStringSubmatch(string(source))
	if len(set) != 2 || declared == nil || declared[1] != set[0][1]+", "+set[1][1] {
		t.Errorf("the Dockerfile sets %q, build.go declares %q", set, declared)
	}
}

// A scrape names the build that runs, without a unit in the metric's name.
func TestBuildInfo(t *testing.T) {
	_, agentSettings := agent(t)
	base := startService(t, &sharedBuffer{}, append(agentSettings, "METRICS_PROMETHEUS", "true")...)
	want := `parley_build_info{commit="` + built().commit + `",version="` + built().version + `"} 1` + "\n"
	if page := fetch(t, "GET", base+"/metrics"); !strings.Contains(page, want) {
		t.Errorf("no %s", want)
	}
}
