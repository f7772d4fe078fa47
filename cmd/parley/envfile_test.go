package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The values of a file are what they look like, whatever is in them.
func TestEnvFile(t *testing.T) {
	t.Setenv("NAME", "expanded")
	for text, want := range map[string]environment{
		"A=pa$NAME":                            {"A": "pa$NAME"},
		"A=${NAME}$(id)`id`":                   {"A": "${NAME}$(id)`id`"},
		`A="pa$W0rd ${NAME} $$"`:               {"A": "pa$W0rd ${NAME} $$"},
		`A='pa$W0rd \n "x"'`:                   {"A": `pa$W0rd \n "x"`},
		"A=`it's \"$NAME\"`":                   {"A": `it's "$NAME"`},
		`A="a\"b\\c\nd\te"`:                    {"A": "a\"b\\c\nd\te"},
		`A=a\nb\$c`:                            {"A": `a\nb\$c`},
		"A=pa#ss":                              {"A": "pa#ss"},
		"A=#ss":                                {"A": "#ss"},
		"A=pass # a comment":                   {"A": "pass"},
		"A=pass\t# a comment":                  {"A": "pass"},
		"A='pa # ss' # a comment":              {"A": "pa # ss"},
		`A="pa#ss"#x`:                          {"A": "pa#ss"},
		"A= # nothing":                         {"A": ""},
		"A=":                                   {"A": ""},
		`A=""`:                                 {"A": ""},
		"A='  kept  '":                         {"A": "  kept  "},
		" A =  trimmed  ":                      {"A": "trimmed"},
		"export A=1\nexport\tB='2'":            {"A": "1", "B": "2"},
		"export=1":                             {"export": "1"},
		"A=1\r\nB='2'\r\n\r\n# c\r\nC=3":       {"A": "1", "B": "2", "C": "3"},
		"A='one\ntwo'\nB=2":                    {"A": "one\ntwo", "B": "2"},
		"A=\"one\r\ntwo\" # c\nB=2":            {"A": "one\ntwo", "B": "2"},
		"\ufeffA=1":                            {"A": "1"},
		"A=1\nA=2":                             {"A": "2"},
		"A=a=b==":                              {"A": "a=b=="},
		"A=it's":                               {"A": "it's"},
		`A=say "x"`:                            {"A": `say "x"`},
		"A=密码":                                 {"A": "密码"},
		"  # only a comment\n\n\t\n#A=1":       {},
		"":                                     {},
		"REDIS_URL=redis://:p$1%23@h:6379/0#x": {"REDIS_URL": "redis://:p$1%23@h:6379/0#x"},
	} {
		if got, err := parseEnv(text); err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"S3CR3T":                    "line 1: ",
		"A=1\n\nS3CR3T: 2":          "line 3: ",
		"A='1\n2'\nS3CR3T":          "line 3: ",
		"A='S3CR3T":                 "line 1: has a quote without",
		"A=\"S3CR3T\\":              `line 1: has a \`,
		"A=\"1\n\nS3CR3T":           "line 1: has a quote without",
		`A="pa\$S3CR3T"`:            `line 1: has a \`,
		`A="C:\S3CR3T"`:             `line 1: has a \`,
		`A='S3CR3T'x`:               "line 1: goes on",
		"A='x\n'S3CR3T'":            "line 2: goes on",
		"1A=S3CR3T":                 "line 1: ",
		"A B=S3CR3T":                "line 1: ",
		"=S3CR3T":                   "line 1: ",
		"A=S3CR3T\x00":              "is no text",
		"A=S3CR3T\xff":              "is no text",
		"{\"A\": \"S3CR3T\"}":       "line 1: ",
		"A=1\nexport S3CR3T\nB=2":   "line 2: ",
		"A=1\nunset S3CR3T=\nB=2\n": "line 2: ",
	} {
		if got, err := parseEnv(text); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "S3CR3T") {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
}

// FuzzEnvFile: a value in single quotes comes back as it was written, after
// whatever else the file holds that can be read.
func FuzzEnvFile(f *testing.F) {
	f.Add("A=1\n", "pa$W0rd#\\")
	f.Add("export A=\"x\\n\" # c\r\n", "two\nlines")
	f.Fuzz(func(t *testing.T, before, value string) {
		if _, err := parseEnv(before); err != nil || strings.ContainsAny(value, "'\r") || !strings.HasSuffix(before, "\n") && before != "" {
			return
		}
		env, err := parseEnv(before + "PARLEY_LAST='" + value + "'\n")
		if err != nil {
			if _, err := parseEnv("A='" + value + "'"); err == nil {
				t.Error(err)
			}
			return
		}
		if env["PARLEY_LAST"] != value {
			t.Errorf("%q became %q", value, env["PARLEY_LAST"])
		}
	})
}

// A variable of the environment wins over the file, also when it is set to nothing:
// that is how one setting of a file is taken back.
func TestEnvironmentWins(t *testing.T) {
	file := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(file, []byte("REDIS_TTL=3600\nREDIS_URL=redis://file:6379\nREDIS_TIMEOUT=2500\nLOG_LEVEL=debug\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, stderr bytes.Buffer
	err := run(t.Context(), []string{"--env-file", file, "check-config"}, enough("REDIS_URL", "", "REDIS_TTL", "7200", "LOG_LEVEL", ""), &out, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"REDIS_TTL                  7200", "REDIS_TIMEOUT              2500", "REDIS_URL                  (not set)", "LOG_LEVEL                  info"} {
		if !strings.Contains(out.String(), want+"\n") {
			t.Errorf("check-config does not say %q:\n%s", want, out.String())
		}
	}
}
