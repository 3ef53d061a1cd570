package sse_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var errorCheck = regexp.MustCompile(`(?s)\tif err != nil \{\n.*?\n\t\}\n`)

// TestReadme: the code in the README is a run of lines of Example, which is
// compiled and run, less the error checks.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(readme), "\n```go\n")
	block, _, closed := strings.Cut(block, "\n```\n")
	if !ok || !closed || strings.Count(block, "\n") < 5 {
		t.Fatalf("the README has no Go code: %q", block)
	}
	source := strings.ReplaceAll(errorCheck.ReplaceAllString(string(example), ""), "\n\t", "\n")
	if !strings.Contains(source, "\n"+block+"\n") {
		for line := range strings.Lines(block) {
			if !strings.Contains(source, "\n"+strings.TrimRight(line, "\n")+"\n") {
				t.Errorf("not a line of Example: %s", line)
			}
		}
		t.Error("the README's code is not that of Example")
	}
	if strings.Contains(string(readme[strings.Index(string(readme), block)+len(block):]), "```go") {
		t.Error("the README has Go code that nothing holds")
	}
}

// TestBackendPage: the code of docs/adding-sse.md stands in the example that is
// compiled and run, block by block.
func TestBackendPage(t *testing.T) {
	page, err := os.ReadFile("../docs/adding-sse.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("backend_example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "\n```go\n")[1:]
	if len(blocks) < 8 {
		t.Errorf("%d blocks of code", len(blocks))
	}
	for _, block := range blocks {
		code, _, closed := strings.Cut(block, "\n```\n")
		if !closed || !strings.Contains(string(example), "\n"+code+"\n") {
			t.Errorf("not in the example: %s", code)
		}
	}
}
