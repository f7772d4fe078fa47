package redistest

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/testcontainers/testcontainers-go"
)

func TestSetupReadsTheImage(t *testing.T) {
	if got := setup(t, "image"); got != Image {
		t.Errorf("setup.sh reads the image %q, the constant is %q", got, Image)
	}
}

func TestSetupNamesTheRyukOfTestcontainers(t *testing.T) {
	want := testcontainers.ReaperDefaultImage //nolint:staticcheck // deprecated, and the only public way to the name
	if got := setup(t, "ryuk"); got != want {
		t.Errorf("setup.sh names Ryuk %q, testcontainers %q", got, want)
	}
}

func setup(t *testing.T, what string) string {
	t.Helper()
	// Opened here too: the test cache does not see what a child process reads.
	if _, err := os.ReadFile("setup.sh"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile("image.go"); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "sh", "setup.sh", what).Output()
	if err != nil {
		t.Fatalf("setup.sh %s: %v", what, err)
	}
	return strings.TrimSpace(string(out))
}

func TestComposeRunsTheSameRedis(t *testing.T) {
	file, err := os.ReadFile("../../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	images := regexp.MustCompile(`(?m)^\s*image:\s*(\S*redis\S*)\s*$`).FindAllStringSubmatch(string(file), -1)
	if len(images) != 1 || images[0][1] != Image {
		t.Errorf("compose.yaml names the Redis images %q, want the one %q", images, Image)
	}
}

func TestMakefileCleansByTheLabel(t *testing.T) {
	file, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(file), "label="+Label) {
		t.Errorf("`make clean` does not look for the label %q", Label)
	}
}
