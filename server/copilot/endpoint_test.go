package copilot

import (
	"errors"
	"strings"
	"testing"
)

const (
	env     = "A47151CF-4F34-488F-B377-EBE84E17B478"
	version = "?api-version=2022-03-01-preview"
)

func TestEndpointURL(t *testing.T) {
	const (
		prod     = "https://a47151cf4f34488fb377ebe84e17b4.78.environment.api.powerplatform.com/copilotstudio/"
		reserved = "conversation/id?with#reserved characters"
		escaped  = "conversation%2Fid%3Fwith%23reserved%20characters"
	)
	one := func(host string) string {
		return "https://a47151cf4f34488fb377ebe84e17b47.8.environment." + host +
			"/copilotstudio/dataverse-backed/authenticated/bots/Bot01/conversations" + version
	}
	direct := func(s string) Endpoint { return Endpoint{DirectConnectURL: s} }
	tests := []struct {
		name string
		e    Endpoint
		id   string
		want string
	}{
		{"other", Endpoint{Environment: env, Schema: "Bot01", Cloud: "Other", CustomCloud: "foo.api.com"}, "", one("foo.api.com")},
		{"other with scheme", Endpoint{Environment: env, Schema: "Bot01", Cloud: "other", CustomCloud: "https://Foo.api.com/"}, "", one("foo.api.com")},
		{"preprod", Endpoint{Environment: env, Schema: "Bot01", Cloud: "Preprod"}, "", one("api.preprod.powerplatform.com")},
		{"test", Endpoint{Environment: env, Schema: "Bot01", Cloud: "Test"}, "", one("api.test.powerplatform.com")},
		{"dev", Endpoint{Environment: env, Schema: "Bot01", Cloud: "Dev"}, "", one("api.dev.powerplatform.com")},
		{"exp", Endpoint{Environment: env, Schema: "Bot01", Cloud: "Exp"}, "", one("api.exp.powerplatform.com")},
		{"prv", Endpoint{Environment: env, Schema: "Bot01", Cloud: "Prv"}, "", one("api.prv.powerplatform.com")},
		{"local", Endpoint{Environment: env, Schema: "Bot01", Cloud: "Local"}, "", one("api.powerplatform.localhost")},
		{"gov", Endpoint{Environment: env, Schema: "Bot01", Cloud: "Gov"}, "", one("api.gov.powerplatform.microsoft.us")},
		{"gov fr", Endpoint{Environment: env, Schema: "Bot01", Cloud: "GovFR"}, "", one("api.gov.powerplatform.microsoft.us")},
		{"high", Endpoint{Environment: env, Schema: "Bot01", Cloud: "High"}, "", one("api.high.powerplatform.microsoft.us")},
		{"dod", Endpoint{Environment: env, Schema: "Bot01", Cloud: "DoD"}, "", one("api.appsplatform.us")},
		{"mooncake", Endpoint{Environment: env, Schema: "Bot01", Cloud: "Mooncake"}, "", one("api.powerplatform.partner.microsoftonline.cn")},
		{"ex", Endpoint{Environment: env, Schema: "Bot01", Cloud: "Ex"}, "", one("api.powerplatform.eaglex.ic.gov")},
		{"rx", Endpoint{Environment: env, Schema: "Bot01", Cloud: "Rx"}, "", one("api.powerplatform.microsoft.scloud")},
		{"prod", Endpoint{Environment: env, Schema: "Bot01"}, "", prod + "dataverse-backed/authenticated/bots/Bot01/conversations" + version},
		{"first release", Endpoint{Environment: env, Schema: "Bot01", Cloud: "FirstRelease"}, "", prod + "dataverse-backed/authenticated/bots/Bot01/conversations" + version},
		{"with conversation", Endpoint{Environment: env, Schema: "Bot01", Cloud: "firstrelease"}, "1234", prod + "dataverse-backed/authenticated/bots/Bot01/conversations/1234" + version},
		{"prebuilt", Endpoint{Environment: env, Schema: "Bot01", AgentType: "Prebuilt"}, "1234", prod + "prebuilt/authenticated/bots/Bot01/conversations/1234" + version},
		{
			"reserved characters",
			Endpoint{Environment: env, Schema: "bot/name?with#reserved characters"},
			reserved,
			prod + "dataverse-backed/authenticated/bots/bot%2Fname%3Fwith%23reserved%20characters/conversations/" + escaped + version,
		},
		{
			"default environment",
			Endpoint{Environment: "Default-db1a52f5-3267-4ea6-aaea-85cf6f15e6c7", Schema: "b"},
			"",
			"https://defaultdb1a52f532674ea6aaea85cf6f15e6.c7.environment.api.powerplatform.com/copilotstudio/dataverse-backed/authenticated/bots/b/conversations" + version,
		},

		{
			"direct without conversations", direct("https://api.example.test/copilotstudio/bots/test-bot"), reserved,
			"https://api.example.test/copilotstudio/bots/test-bot/conversations/" + escaped + version,
		},
		{
			"direct with conversations", direct("https://api.powerplatform.com/copilotstudio/dataverse-backed/authenticated/bots/test-bot/conversations"), "conv-abc",
			"https://api.powerplatform.com/copilotstudio/dataverse-backed/authenticated/bots/test-bot/conversations/conv-abc" + version,
		},
		{"direct wins", Endpoint{DirectConnectURL: "https://h/b", Environment: "!", Cloud: "none"}, "", "https://h/b/conversations" + version},
		{"direct keeps its version", direct("https://h/3p/bots/b/conversations?api-version=1&x=y"), "c", "https://h/3p/bots/b/conversations/c?api-version=1&x=y"},
		{"direct with other query", direct("https://h/b?x=y"), "", "https://h/b/conversations?api-version=2022-03-01-preview&x=y"},
		{"direct with slashes", direct("https://h/b/conversations///"), "", "https://h/b/conversations" + version},
		{"direct cut behind conversations", direct("https://h/b/conversations/old-id"), "", "https://h/b/conversations" + version},
		{"direct cut at the last", direct("https://h/conversations/b/conversations/x"), "", "https://h/conversations/b/conversations" + version},
		{"direct keeps lookalikes", direct("https://h/conversations-eu/b"), "", "https://h/conversations-eu/b/conversations" + version},
		{"direct drops the fragment", direct("https://h/b#f"), "", "https://h/b/conversations" + version},
		{"direct keeps escapes", direct("https://h/a%2Fconversations/b"), "", "https://h/a%2Fconversations/b/conversations" + version},
		{"direct to this machine", direct("http://127.0.0.1:3979"), "", "http://127.0.0.1:3979/conversations" + version},
		{"direct to localhost", direct(" http://localhost:1/x "), "", "http://localhost:1/x/conversations" + version},
		{"direct to v6", direct("http://[::1]:1/x"), "", "http://[::1]:1/x/conversations" + version},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.e.URL(tt.id)
			if err != nil || got != tt.want {
				t.Errorf("URL(%q) =\n%s, %v, want\n%s", tt.id, got, err, tt.want)
			}
		})
	}
}

func TestEndpointErrors(t *testing.T) {
	ok := Endpoint{Environment: env, Schema: "b"}
	with := func(f func(*Endpoint)) Endpoint { e := ok; f(&e); return e }
	direct := func(s string) Endpoint { return Endpoint{DirectConnectURL: s} }
	tests := []struct {
		name string
		e    Endpoint
		want string // setting
	}{
		{"no environment", Endpoint{Schema: "b"}, "Environment"},
		{"blank environment", Endpoint{Environment: " - ", Schema: "b"}, "Environment"},
		{"short environment", Endpoint{Environment: "a1", Schema: "b"}, "Environment"},
		{"long environment", Endpoint{Environment: strings.Repeat("a", 70), Schema: "b"}, "Environment"},
		{"environment with a dot", Endpoint{Environment: "evil.example/x", Schema: "b"}, "Environment"},
		{"no schema", Endpoint{Environment: env, Schema: " "}, "Schema"},
		{"schema of dots", Endpoint{Environment: env, Schema: ".."}, "Schema"},
		{"schema with control", Endpoint{Environment: env, Schema: "a\nb"}, "Schema"},
		{"agent type", with(func(e *Endpoint) { e.AgentType = "Draft" }), "AgentType"},
		{"cloud", with(func(e *Endpoint) { e.Cloud = "Unknown" }), "Cloud"},
		{"no custom cloud", with(func(e *Endpoint) { e.Cloud = "Other" }), "CustomCloud"},
		{"custom cloud", with(func(e *Endpoint) { e.Cloud, e.CustomCloud = "Other", "Blah+1_ Blah" }), "CustomCloud"},
		{"custom cloud with path", with(func(e *Endpoint) { e.Cloud, e.CustomCloud = "Other", "https://h/p" }), "CustomCloud"},
		{"custom cloud with user", with(func(e *Endpoint) { e.Cloud, e.CustomCloud = "Other", "u@h" }), "CustomCloud"},
		{"custom cloud with query", with(func(e *Endpoint) { e.Cloud, e.CustomCloud = "Other", "h?q" }), "CustomCloud"},
		{"custom cloud in the clear", with(func(e *Endpoint) { e.Cloud, e.CustomCloud = "Other", "http://h" }), "CustomCloud"},
		{"direct in the clear", direct("http://h/x"), "DirectConnectURL"},
		{"direct relative", direct("/x"), "DirectConnectURL"},
		{"direct other scheme", direct("ftp://h/x"), "DirectConnectURL"},
		{"direct with password", direct("https://u:secret@h/x"), "DirectConnectURL"},
		{"direct broken", direct("https://h/%zz?secret"), "DirectConnectURL"},
		{"direct broken query", direct("https://h/x?a=%zz"), "DirectConnectURL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.e.URL("")
			var got *SettingError
			if !errors.As(err, &got) || got.Setting != tt.want {
				t.Fatalf("URL() error = %v, want one about %s", err, tt.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("error %q repeats the setting", err)
			}
			if _, err := NewClient(Options{Endpoint: tt.e}); err == nil {
				t.Error("NewClient took it")
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		_, err := Endpoint{AgentType: "x"}.URL("")
		for _, want := range []string{"Environment", "Schema", "AgentType"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v does not name %s", err, want)
			}
		}
	})
	for _, id := range []string{".", "..", "a\x00", "a\xff"} {
		if _, err := ok.URL(id); err == nil {
			t.Errorf("URL(%q) made a URL", id)
		}
	}
}

func TestTokenScope(t *testing.T) {
	tests := []struct {
		name, want string
		e          Endpoint
	}{
		{"prod", "https://api.powerplatform.com/.default", Endpoint{}},
		{"gov", "https://api.gov.powerplatform.microsoft.us/.default", Endpoint{Cloud: "Gov"}},
		{"other", "https://fido.com/.default", Endpoint{Cloud: "Other", CustomCloud: "https://fido.com/"}},
		{"direct to the cloud's host", "https://api.powerplatform.com/.default", Endpoint{DirectConnectURL: "https://api.powerplatform.com/copilotstudio/bots/test-bot"}},
		{"direct to an environment", "https://api.preprod.powerplatform.com/.default", Endpoint{DirectConnectURL: "https://ab.c.environment.API.preprod.powerplatform.com/x"}},
		{"explicit", "https://mine/.default", Endpoint{DirectConnectURL: "https://elsewhere/x", Scope: "https://mine/.default"}},
		{"direct elsewhere", "", Endpoint{DirectConnectURL: "https://elsewhere.example/x"}},
		{"direct to a lookalike", "", Endpoint{DirectConnectURL: "https://evilapi.powerplatform.com/x"}},
		{"direct broken", "", Endpoint{DirectConnectURL: "x"}},
		{"unknown cloud", "", Endpoint{Cloud: "Unknown"}},
	}
	for _, tt := range tests {
		got, err := tt.e.TokenScope()
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: TokenScope() = %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}
