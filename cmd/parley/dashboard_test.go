package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// dashboard is dashboard.json, as far as tests read it.
type dashboard struct {
	Templating struct{ List []struct{ Name, Type string } }
	Panels     []struct {
		Type, Title, Description string
		Datasource               struct{ UID string }
		FieldConfig              struct {
			Defaults struct {
				Unit       string
				Thresholds struct{ Steps []struct{ Color string } }
			}
		}
		Targets []struct {
			Expr       string
			Exemplar   bool
			Datasource struct{ UID string }
		}
	}
}

func readDashboard(t *testing.T) (board dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(readTelemetry(t, "dashboard.json")), &board); err != nil {
		t.Fatal(err)
	}
	return board
}

// Every panel says what it shows and in which unit, asks the data source that was chosen,
// and for the instances that were chosen; times lead to their traces.
func TestDashboardSaysWhatItShows(t *testing.T) {
	board := readDashboard(t)
	var variables []string
	for _, v := range board.Templating.List {
		variables = append(variables, v.Name)
	}
	for _, name := range []string{"datasource", "traces", "instance", "route"} {
		if !slices.Contains(variables, name) {
			t.Errorf("no variable %s", name)
		}
	}
	for _, p := range board.Panels {
		if p.Type == "row" {
			continue
		}
		if d := p.FieldConfig.Defaults; p.Description == "" || d.Unit == "" || len(d.Thresholds.Steps) == 0 || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("%s lacks something: %+v", p.Title, p)
		}
		for _, target := range p.Targets {
			recorded := strings.Contains(target.Expr, "parley:") // over all instances
			if target.Datasource.UID != "${datasource}" || strings.Contains(target.Expr, `instance=~"$instance"`) == recorded {
				t.Errorf("%s asks %s", p.Title, target.Expr)
			}
			if strings.Contains(target.Expr, "_seconds_bucket") != target.Exemplar {
				t.Errorf("%s: exemplars are %v", p.Title, target.Exemplar)
			}
			if strings.Contains(target.Expr, "http_server_request_duration_seconds") && !strings.Contains(target.Expr, `http_route=~"$route"`) {
				t.Errorf("%s mixes routes", p.Title)
			}
		}
	}
}

// The label that leads from a measurement to its trace is the one that exemplars have.
func TestGrafanaFindsTraces(t *testing.T) {
	var file struct {
		Datasources []struct {
			UID, Type string
			JSONData  struct {
				Exemplars []struct {
					Name string
					UID  string `yaml:"datasourceUid"`
				} `yaml:"exemplarTraceIdDestinations"`
			} `yaml:"jsonData"`
		}
	}
	if err := yaml.Unmarshal([]byte(readTelemetry(t, "grafana.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	for _, d := range file.Datasources {
		types[d.UID] = d.Type
	}
	for _, d := range file.Datasources {
		for _, e := range d.JSONData.Exemplars {
			if e.Name != "trace_id" || types[e.UID] != "jaeger" {
				t.Errorf("exemplars lead by %s to %s", e.Name, types[e.UID])
			}
		}
	}
}
