package main

import (
	"cmp"
	"runtime/debug"
)

// builtVersion and builtCommit are set by the linker where the compiler has no
// repository to ask, which is when the image is built (see Dockerfile).
var builtVersion, builtCommit string

// build is what the binary was built from.
type build struct {
	version string // of the module; "devel" if it has none
	commit  string // "unknown" if nobody knows; with "+dirty" if something was changed after it
}

// built is the build that runs.
func built() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return buildOf(info, builtVersion, builtCommit)
}

func buildOf(info *debug.BuildInfo, version, commit string) build {
	if v := info.Main.Version; v != "(devel)" {
		version = cmp.Or(version, v)
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if revision != "" {
		commit = cmp.Or(commit, revision+dirty)
	}
	return build{cmp.Or(version, "devel"), cmp.Or(commit, "unknown")}
}

// version is the version of the build that runs.
func version() string { return built().version }
