package aead_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/objseal/objseal/internal/aead"
)

// listKernels is set in the processes that TestSwitchedOff starts: which kernels
// there are is decided when a process begins.
const listKernels = "OBJSEAL_TEST_KERNELS"

// TestSwitchedOff: OBJSEAL_CPU takes kernels away, one by one, and adds none.
func TestSwitchedOff(t *testing.T) {
	if os.Getenv(listKernels) != "" {
		for _, c := range aead.Ciphers {
			fmt.Printf("kernel of %v: %v\n", c, c.Best())
		}
		return
	}
	best := func(off string) map[aead.Cipher]string {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSwitchedOff$")
		cmd.Env = append(os.Environ(), listKernels+"=1", "OBJSEAL_CPU="+off)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		got := map[aead.Cipher]string{}
		for _, c := range aead.Ciphers {
			_, rest, ok := strings.Cut(string(out), fmt.Sprintf("kernel of %v: ", c))
			if !ok {
				t.Fatalf("not in the output: %v\n%s", c, out)
			}
			got[c], _, _ = strings.Cut(rest, "\n")
		}
		return got
	}
	all := best("")
	avx := "generic"
	if aead.AES256GCM.Available(aead.AVX) {
		avx = "avx"
	}
	for _, test := range []struct{ off, aes, chacha string }{ // "": as ever
		{"noavx512,noavx2,noifma", avx, "generic"},
		{"noavx512 noavx2", avx, "generic"},
		{"noavx", "generic", "generic"},
		{"noifma", "", "generic"},
		{"avx512,avx2,ifma", "", ""},
		{"noise,AVX2,nosse", "", ""},
	} {
		got := best(test.off)
		for c, want := range map[aead.Cipher]string{aead.AES256GCM: test.aes, aead.ChaCha20Poly1305: test.chacha} {
			if want == "" {
				want = all[c]
			}
			if got[c] != want {
				t.Errorf("OBJSEAL_CPU=%q: %v has kernel %s, want %s", test.off, c, got[c], want)
			}
		}
	}
	if got := best("noavx512")[aead.AES256GCM]; got == "avx512" {
		t.Errorf("OBJSEAL_CPU=noavx512: AES-256-GCM has kernel %s", got)
	}
	t.Logf("with nothing switched off: %v", all)
}
