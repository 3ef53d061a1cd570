package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/internal/cpu"
)

// TestSpeedJSON: one object with every row that this machine can have.
func TestSpeedJSON(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run([]string{"speed", "--json", "--time", "1ms"}, strings.NewReader(""), &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Fatalf("exit code %d\n%s", code, stderr.String())
	}
	var got speedResult
	in := json.NewDecoder(&stdout)
	in.DisallowUnknownFields()
	if err := in.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if in.More() {
		t.Error("more than one object")
	}
	if got.CPU != cpu.Name() || got.Go != runtime.Version() || got.OS != runtime.GOOS || got.Arch != runtime.GOARCH || got.Rounds < 1 || got.Seconds <= 0 {
		t.Errorf("about the machine: %+v", got)
	}
	var want []string
	m := thisMachine()
	for _, c := range aead.Ciphers {
		k := chosenKernel{Cipher: c.String(), Why: m.why(c)}
		if m.used(c) {
			k.Kernel = c.Best().String()
		}
		if !slices.Contains(got.Kernels, k) {
			t.Errorf("kernels %+v lack %+v", got.Kernels, k)
		}
		if !m.used(c) {
			continue
		}
		for _, operation := range []string{"seal-package", "open-package"} {
			for _, k := range c.Kernels() {
				if c.Available(k) {
					want = append(want, fmt.Sprintln(c, k, operation, 65536))
				}
			}
		}
		for _, operation := range []string{"seal-buffer", "seal-reader"} {
			for _, size := range []int{1024, 65536, 16777216} {
				want = append(want, fmt.Sprintln(c, c.Best(), operation, size))
			}
		}
	}
	want = append(want, fmt.Sprintln("", "", "copy", 65536), fmt.Sprintln("", "", "copy", 16777216))
	var rows []string
	for _, r := range got.Rows {
		rows = append(rows, fmt.Sprintln(r.Cipher, r.Kernel, r.Operation, r.Size))
		if r.BytesPerSecond <= 0 || (r.Ratio > 0) != (r.Cipher != "") {
			t.Errorf("figures of %+v", r)
		}
	}
	if !slices.Equal(rows, want) {
		t.Errorf("rows\n%s\nwant\n%s", strings.Join(rows, ""), strings.Join(want, ""))
	}
}

// TestMeasure: all take turns, as often as each other, and an error ends it.
func TestMeasure(t *testing.T) {
	var calls [3]int
	var all []*contender
	for i := range calls {
		all = append(all, &contender{size: 1, call: func() error { calls[i]++; return nil }})
	}
	var told time.Duration
	rounds, err := measure(t.Context(), all, time.Millisecond, func(d time.Duration) { told = d })
	if err != nil || rounds < 1 || told <= 0 {
		t.Fatalf("%d rounds, %v over: %v", rounds, told, err)
	}
	for i, c := range all {
		if len(c.speeds) != rounds || calls[i] < rounds*c.calls {
			t.Errorf("contender %d: %d speeds of %d rounds, %d calls", i, len(c.speeds), rounds, calls[i])
		}
	}
	want := errors.New("does not open")
	all[2].call = func() error { return want }
	if _, err := measure(t.Context(), all, time.Millisecond, func(time.Duration) {}); !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func TestSpeedRows(t *testing.T) {
	reference := &contender{hidden: true, speeds: []float64{1, 10, 2}}
	got := speedRows([]*contender{
		reference,
		{cipher: "c", kernel: "k", operation: "o", size: 7, speeds: []float64{3, 20, 8}, reference: reference},
		{operation: "copy", size: 8, speeds: []float64{5, 4}},
	})
	want := []speedRow{{"c", "k", "o", 7, 8, 3}, {"", "", "copy", 8, 4.5, 0}} // ratios 3, 2, 4
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestBar(t *testing.T) {
	blocks, ascii := style{unicode: true}, style{}
	for _, test := range []struct {
		s     style
		part  float64
		width int
		want  string
	}{
		{blocks, 1, 4, "████"},
		{blocks, 0.5, 4, "██"},
		{blocks, 0.53125, 4, "██▏"},
		{blocks, 0.71875, 4, "██▉"},
		{blocks, 0.0001, 4, "▏"},
		{blocks, 1.2, 4, "███▶"},
		{blocks, 7, 1, "▶"},
		{ascii, 1, 4, "####"},
		{ascii, 0.6, 4, "##"},
		{ascii, 0.0001, 4, "#"},
		{ascii, 1.2, 4, "###>"},
		{ascii, 1, 0, ""},
		{blocks, 1.2, 0, ""},
		{blocks, 0.5, -3, ""},
		{blocks, 0, 4, ""},
	} {
		if got := test.s.bar(test.part, test.width); got != test.want {
			t.Errorf("%v of %d columns: %q, want %q", test.part, test.width, got, test.want)
		}
	}
}

var tableRows = []speedRow{
	{"AES-256-GCM", "generic", sealPackage, 65536, 6.65e9, 1},
	{"AES-256-GCM", "avx512", sealPackage, 65536, 30e9, 4.51},
	{"AES-256-GCM", "avx512", openPackage, 65536, 29.8e9, 4.34},
	{"AES-256-GCM", "avx512", sealBuffer, 1024, 5.004e9, 12.3},
	{"AES-256-GCM", "avx512", sealReader, 16777216, 0.001e9, 0.04},
	{"", "", copyMemory, 65536, 113.2e9, 0},
	{"", "", copyMemory, 16777216, 40e9, 0},
}

func TestTable(t *testing.T) {
	const want = `
                        GB/s   × std
AES-256-GCM, one package of 64 KiB
  seal    generic       6.65     1.0  ███▍
  seal    avx512       30.0      4.5  ███████████████
  open    avx512       29.8      4.3  ██████████████▉
AES-256-GCM, whole streams, avx512
  buffer   1 KiB        5.00    12.3  ██▌
  reader  16 MiB        0.00     0.0  ▏
memory copy, the roof
          64 KiB      113             ███████████████████▶
          16 MiB       40.0           ████████████████████
`
	s := style{unicode: true, width: 58}
	if got := "\n" + s.table(tableRows); got != want {
		t.Errorf("got%s\nwant%s", got, want)
	}
	ascii := strings.NewReplacer("×", "x", "▶", ">", "█", "#")
	for line := range strings.Lines(style{width: 58}.table(tableRows)) {
		if name, _, _ := strings.Cut(line, "#"); !strings.Contains(ascii.Replace(want), name) || strings.ContainsFunc(line, func(r rune) bool { return r >= utf8.RuneSelf }) {
			t.Errorf("in ASCII: %q", line)
		}
	}
	for width := 40; width <= 80; width++ {
		for line := range strings.Lines(style{unicode: true, width: width}.table(tableRows)) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("%d columns of %d: %q", n, width, line)
			}
		}
	}
}

func TestWrap(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"× a bb", "× a bb"},
		{"aaa bbb ccc", "aaa\nbbb\nccc"},
		{"longer than that", "longer\nthan\nthat"},
		{"a b c d e f", "a b c\nd e f"},
	} {
		if got := (style{width: 6}).wrap(test.text); got != test.want {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
}

func TestUTF8Locale(t *testing.T) {
	for _, test := range []struct {
		all, ctype, lang string
		want             bool
	}{
		{"", "", "", false},
		{"", "", "C.UTF-8", true},
		{"", "", "de_DE.utf8", true},
		{"", "en_US.ISO-8859-1", "C.UTF-8", false},
		{"C", "C.UTF-8", "C.UTF-8", false},
		{"C.UTF-8", "C", "C", true},
	} {
		env := map[string]string{"LC_ALL": test.all, "LC_CTYPE": test.ctype, "LANG": test.lang}
		if got := utf8Locale(func(name string) string { return env[name] }); got != test.want {
			t.Errorf("%v: %v", env, got)
		}
	}
}

// TestOtherMachines: what it says on processors and builds that are not here.
func TestOtherMachines(t *testing.T) {
	const aes, chacha = aead.AES256GCM, aead.ChaCha20Poly1305
	type kernels = map[aead.Cipher]aead.Kernel
	rows := []speedRow{
		{"AES-256-GCM", "generic", sealPackage, 65536, 7e9, 1},
		{"AES-256-GCM", "avx", sealPackage, 65536, 8e9, 1.25},
		{"AES-256-GCM", "avx2", sealPackage, 65536, 14e9, 2},
		{"AES-256-GCM", "avx512", sealPackage, 65536, 35e9, 5},
		{"ChaCha20-Poly1305", "avx512", sealPackage, 65536, 9e9, 3},
	}
	for name, test := range map[string]struct {
		m             machine
		why           [2]string // for AES and ChaCha20
		gains, unsaid []string
	}{
		"avx512": {
			machine{arch: "amd64", best: kernels{aes: aead.AVX512, chacha: aead.AVX512}},
			[2]string{"VAES, VPCLMULQDQ, AVX-512", "AVX-512 with IFMA"},
			[]string{"AES-256-GCM has its fastest kernel here and seals packages 5.0 times", "avx2 would make it 2.0 times, and avx on one without VAES 1.2 times.",
				"ChaCha20-Poly1305 has its fastest kernel here and seals packages 3.0 times"},
			[]string{"EPYC"},
		},
		"avx2": {
			machine{arch: "amd64", best: kernels{aes: aead.AVX2}},
			[2]string{"VAES, VPCLMULQDQ, AVX2; not all of VAES, VPCLMULQDQ, AVX-512 here", "golang.org/x/crypto; no AVX-512 with IFMA here"},
			[]string{"AES-256-GCM would be faster on a processor with VAES, VPCLMULQDQ, AVX-512: against Go's library about 4.6 times with avx512 (measured on an AMD EPYC Zen 5); here it is 2.0 times",
				"ChaCha20-Poly1305 would be faster on a processor with AVX-512 with IFMA"},
			[]string{"with avx2", "OBJSEAL_CPU"},
		},
		"avx": {
			machine{arch: "amd64", best: kernels{aes: aead.AVX}},
			[2]string{"AES-NI, PCLMULQDQ, AVX; not all of VAES, VPCLMULQDQ, AVX2 here", "golang.org/x/crypto; no AVX-512 with IFMA here"},
			[]string{"about 4.6 times with avx512, 2.3 times with avx2 (measured on an AMD EPYC Zen 5); here it is 1.2 times"},
			[]string{"with avx (", "OBJSEAL_CPU"},
		},
		"plain": {
			machine{arch: "amd64", best: kernels{}},
			[2]string{"Go's crypto/cipher; not all of AES-NI, PCLMULQDQ, AVX here", "golang.org/x/crypto; no AVX-512 with IFMA here"},
			[]string{"about 4.6 times with avx512, 2.3 times with avx2, 1.2 times with avx (measured on an AMD EPYC Zen 5).", "about 3.5 times with avx512"},
			[]string{"OBJSEAL_CPU", "here it is"},
		},
		"off": {
			machine{arch: "amd64", best: kernels{}, off: []cpu.Feature{cpu.AVX2, cpu.IFMA}},
			[2]string{"Go's crypto/cipher; OBJSEAL_CPU switches off avx2", "golang.org/x/crypto; OBJSEAL_CPU switches off ifma"},
			[]string{"AES-256-GCM would be faster without OBJSEAL_CPU: against Go's library about 2.3 times with avx2 (", "ChaCha20-Poly1305 would be faster without OBJSEAL_CPU"},
			[]string{"4.6"},
		},
		"purego": {
			machine{arch: "amd64", purego: true, best: kernels{}},
			[2]string{"Go's crypto/cipher; built with the tag purego", "golang.org/x/crypto; built with the tag purego"},
			[]string{"AES-256-GCM would be faster in a build without the tag purego", "ChaCha20-Poly1305 would be faster in a build without the tag purego"},
			nil,
		},
		"fips": {
			machine{arch: "amd64", fips: true, best: kernels{}},
			[2]string{"Go's crypto/cipher; FIPS 140-3 mode allows no other", "not used in FIPS 140-3 mode"},
			[]string{"AES-256-GCM would be faster outside of FIPS 140-3 mode"},
			[]string{"ChaCha20"},
		},
		"arm64": {
			machine{arch: "arm64", best: kernels{}},
			[2]string{"Go's crypto/cipher; there is no other for arm64", "golang.org/x/crypto; there is no other for arm64"},
			[]string{"on arm64 objseal takes the path of Go's libraries"},
			[]string{"purego", "EPYC"},
		},
	} {
		for i, c := range aead.Ciphers {
			if got := test.m.why(c); got != test.why[i] {
				t.Errorf("%s: %v: %q, want %q", name, c, got, test.why[i])
			}
		}
		got := strings.Join(test.m.gains(rows), "\n")
		for _, want := range test.gains {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q in:\n%s", name, want, got)
			}
		}
		for _, word := range test.unsaid {
			if strings.Contains(got, word) {
				t.Errorf("%s: %q in:\n%s", name, word, got)
			}
		}
	}
}
