package cpu_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/objseal/objseal/internal/cpu"
)

func TestDisable(t *testing.T) {
	before := cpu.Has(cpu.AES)
	restore := cpu.Disable(cpu.AES)
	if cpu.Has(cpu.AES) {
		t.Error("a disabled feature is still reported")
	}
	restore()
	if cpu.Has(cpu.AES) != before {
		t.Errorf("after restore: %v, before: %v", cpu.Has(cpu.AES), before)
	}
}

var all = []cpu.Feature{cpu.AES, cpu.AVX, cpu.AVX2, cpu.AVX512, cpu.IFMA}

// answers is what a process says of itself.
type answers struct {
	Has     map[cpu.Feature]bool
	Off     []cpu.Feature
	Unknown []string
}

// report is set in the processes that TestSwitchedOff starts: the variable is
// read when a process begins.
const report = "OBJSEAL_TEST_CPU"

// TestSwitchedOff holds on every processor: a feature that is switched off is
// absent, and all others are as they were.
func TestSwitchedOff(t *testing.T) {
	if file := os.Getenv(report); file != "" {
		a := answers{map[cpu.Feature]bool{}, cpu.SwitchedOff(), cpu.Unknown}
		for _, f := range all {
			a.Has[f] = cpu.Has(f)
		}
		b, err := json.Marshal(a)
		if err == nil {
			err = os.WriteFile(file, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	file := t.TempDir() + "/answers"
	ask := func(off string) (a answers) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSwitchedOff$")
		cmd.Env = append(os.Environ(), report+"="+file, "OBJSEAL_CPU="+off)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		b, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(b, &a)
		}
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	here := ask("")
	if len(here.Unknown) > 0 {
		t.Errorf("unknown words in nothing: %q", here.Unknown)
	}
	for _, test := range []struct {
		words   string
		off     []cpu.Feature
		unknown []string
	}{
		{"noavx512,noavx2,noifma", []cpu.Feature{cpu.AVX512, cpu.AVX2, cpu.IFMA}, nil},
		{"noaes", []cpu.Feature{cpu.AES}, nil},
		{"noavx2", []cpu.Feature{cpu.AVX2}, nil},
		{"noavx", []cpu.Feature{cpu.AVX, cpu.AVX2, cpu.AVX512, cpu.IFMA}, nil},
		{" noavx512, ,noavx512 ", []cpu.Feature{cpu.AVX512, cpu.IFMA}, nil},
		{"noifma nosuch", []cpu.Feature{cpu.IFMA}, []string{"nosuch"}},
		{"avx512", nil, []string{"avx512"}}, // nothing is switched on
		{"avx512,aes,avx2,ifma,all", nil, []string{"avx512", "aes", "avx2", "ifma", "all"}},
		{"noavx512,avx512", []cpu.Feature{cpu.AVX512, cpu.IFMA}, []string{"avx512"}},
		{"no,nono,nonoavx2,NOAVX2,-avx2", nil, []string{"no", "nono", "nonoavx2", "NOAVX2", "-avx2"}},
	} {
		got := ask(test.words)
		if !slices.Equal(got.Unknown, test.unknown) {
			t.Errorf("OBJSEAL_CPU=%q: unknown words %q, want %q", test.words, got.Unknown, test.unknown)
		}
		for _, f := range all {
			if want := here.Has[f] && !slices.Contains(test.off, f); got.Has[f] != want {
				t.Errorf("OBJSEAL_CPU=%q: %s is %v, want %v", test.words, f, got.Has[f], want)
			}
			if want := here.Has[f] && !got.Has[f]; slices.Contains(got.Off, f) != want {
				t.Errorf("OBJSEAL_CPU=%q: switched off is %q, %s is in it: want %v", test.words, got.Off, f, want)
			}
		}
	}
	t.Logf("with nothing switched off: %v", here.Has)
}
