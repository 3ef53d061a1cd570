package main

import (
	"crypto/fips140"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/internal/aesgcm"
	"github.com/objseal/objseal/internal/cpu"
)

const speedUsage = `speed measures, on one goroutine, how fast both ciphers are with every kernel
(implementation) that this processor, this build and OBJSEAL_CPU allow: sealing
and opening one package of 64 KiB, and sealing whole streams with the fastest
kernel, in memory (buffer) and through an io.Reader (reader). All of them take
turns in many short rounds; the medians are shown. GB/s are 1e9 bytes of
plaintext a second. "x std" compares packages with crypto/cipher or
golang.org/x/crypto, round by round, and streams with the same packages sealed
by these, from setting up the key on. Copying memory is the roof.

With --json it prints one object:

  cpu, go, os, arch     the machine and the Go version
  seconds, rounds       how long it measured, and how often each row
  kernels               of each cipher the kernel it got, and why
  rows                  cipher, kernel, operation (seal-package, open-package,
                        seal-buffer, seal-reader, copy), size in bytes,
                        bytes_per_second, and ratio, which is "x std"`

func (a *app) speedCommand() *cobra.Command {
	var budget time.Duration
	cmd := &cobra.Command{
		Use:   "speed",
		Short: "measure what this machine reaches, per cipher and kernel",
		Long:  speedUsage,
		Args:  exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if budget <= 0 {
				return usagef("--time is %v: measuring takes some time", budget)
			}
			r, err := speed(cmd, budget)
			if err != nil {
				return fmt.Errorf("failed to measure: %w", err)
			}
			return a.print(cmd.OutOrStdout(), r, r.text(styleOf(cmd.OutOrStdout())))
		},
	}
	cmd.Flags().DurationVar(&budget, "time", 10*time.Second, "how long to measure")
	return cmd
}

func speed(cmd *cobra.Command, budget time.Duration) (speedResult, error) {
	all, err := contenders()
	if err != nil {
		return speedResult{}, err
	}
	m := thisMachine()
	r := speedResult{CPU: cpu.Name(), Go: runtime.Version(), OS: runtime.GOOS, Arch: m.arch, machine: m}
	elapsed, done := progressOfTime(cmd.ErrOrStderr(), "measuring", budget)
	defer done()
	start := time.Now()
	if r.Rounds, err = measure(cmd.Context(), all, budget, elapsed); err != nil {
		return speedResult{}, err
	}
	r.Seconds = time.Since(start).Seconds()
	r.Rows = speedRows(all)
	for _, c := range aead.Ciphers {
		k := chosenKernel{Cipher: c.String(), Why: m.why(c)}
		if m.used(c) {
			k.Kernel = m.best[c].String()
		}
		r.Kernels = append(r.Kernels, k)
	}
	return r, nil
}

type speedResult struct {
	CPU     string         `json:"cpu"`
	Go      string         `json:"go"`
	OS      string         `json:"os"`
	Arch    string         `json:"arch"`
	Seconds float64        `json:"seconds"`
	Rounds  int            `json:"rounds"`
	Kernels []chosenKernel `json:"kernels"`
	Rows    []speedRow     `json:"rows"`

	machine machine
}

type chosenKernel struct {
	Cipher string `json:"cipher"`
	Kernel string `json:"kernel,omitempty"`
	Why    string `json:"why"`
}

// text is the result for people.
func (r speedResult) text(s style) string {
	var b strings.Builder
	fmt.Fprintln(&b, s.wrap(fmt.Sprintf("%s, %s/%s, %s", orUnknown(r.CPU), r.OS, r.Arch, r.Go)))
	for _, k := range r.Kernels {
		if k.Kernel == "" {
			fmt.Fprintln(&b, s.wrap(k.Cipher+": "+k.Why))
		} else {
			fmt.Fprintln(&b, s.wrap(k.Cipher+": "+k.Kernel+" ("+k.Why+")"))
		}
	}
	if words := r.machine.unknown; len(words) > 0 {
		fmt.Fprintln(&b, s.wrap(fmt.Sprintf("OBJSEAL_CPU has words without a meaning: %q", words)))
	}
	fmt.Fprintf(&b, "One goroutine, median of %d round(s) in %.1f s.\n\n", r.Rounds, r.Seconds)
	b.WriteString(s.table(r.Rows))
	b.WriteByte('\n')
	for _, sentence := range r.machine.gains(r.Rows) {
		fmt.Fprintln(&b, s.wrap(sentence))
	}
	return b.String()
}

func orUnknown(cpu string) string {
	if cpu == "" {
		return "a processor without a name"
	}
	return cpu
}

// A machine is what decides which kernels there are.
type machine struct {
	arch    string
	fips    bool // Go's FIPS 140-3 mode
	purego  bool // built with that tag: no assembly
	best    map[aead.Cipher]aead.Kernel
	off     []cpu.Feature // the processor has it and OBJSEAL_CPU denies it
	unknown []string      // words of OBJSEAL_CPU
}

func thisMachine() machine {
	m := machine{
		arch:    runtime.GOARCH,
		fips:    fips140.Enabled(),
		purego:  runtime.GOARCH == "amd64" && !aesgcm.Built,
		best:    map[aead.Cipher]aead.Kernel{},
		off:     cpu.SwitchedOff(),
		unknown: cpu.Unknown,
	}
	for _, c := range aead.Ciphers {
		m.best[c] = c.Best()
	}
	return m
}

// used: in FIPS 140-3 mode there is one cipher.
func (m machine) used(c aead.Cipher) bool { return c == aead.AES256GCM || !m.fips }

// A kernelFact is what this command knows of a kernel without measuring it.
type kernelFact struct {
	cipher aead.Cipher
	kernel aead.Kernel

	feature cpu.Feature // what package cpu calls that which it needs,
	needs   string      // and what makers of processors call it

	// elsewhere is how many times as fast as Generic it seals 64 KiB, on an AMD
	// EPYC Zen 5. Source: AEADSeal in bench/results/zen5.
	elsewhere float64
}

// kernelFacts has the fastest kernel of a cipher first.
var kernelFacts = []kernelFact{
	{aead.AES256GCM, aead.AVX512, cpu.AVX512, "VAES, VPCLMULQDQ, AVX-512", 4.6},
	{aead.AES256GCM, aead.AVX2, cpu.AVX2, "VAES, VPCLMULQDQ, AVX2", 2.3},
	{aead.AES256GCM, aead.AVX, cpu.AVX, "AES-NI, PCLMULQDQ, AVX", 1.2},
	{aead.ChaCha20Poly1305, aead.AVX512, cpu.IFMA, "AVX-512 with IFMA", 3.5},
}

// faster returns what is known of the kernels that are faster than the one c
// got; off are those of them that OBJSEAL_CPU is in the way of.
func (m machine) faster(c aead.Cipher) (faster, off []kernelFact) {
	for _, f := range kernelFacts {
		if f.cipher == c && f.kernel > m.best[c] {
			faster = append(faster, f)
			if slices.Contains(m.off, f.feature) {
				off = append(off, f)
			}
		}
	}
	return faster, off
}

// why says what the kernel of c is, and what keeps c from a faster one.
func (m machine) why(c aead.Cipher) string {
	if !m.used(c) {
		return "not used in FIPS 140-3 mode"
	}
	what := map[aead.Cipher]string{aead.AES256GCM: "Go's crypto/cipher", aead.ChaCha20Poly1305: "golang.org/x/crypto"}[c]
	for _, f := range kernelFacts {
		if f.cipher == c && f.kernel == m.best[c] {
			what = f.needs
		}
	}
	faster, off := m.faster(c)
	switch {
	case len(faster) == 0:
		return what
	case m.fips:
		return what + "; FIPS 140-3 mode allows no other"
	case m.arch != "amd64":
		return what + "; there is no other for " + m.arch
	case m.purego:
		return what + "; built with the tag purego"
	case len(off) > 0:
		var names []string
		for _, f := range off {
			names = append(names, string(f.feature))
		}
		return what + "; OBJSEAL_CPU switches off " + strings.Join(names, ", ")
	}
	next := faster[len(faster)-1].needs
	if strings.Contains(next, ", ") {
		return what + "; not all of " + next + " here"
	}
	return what + "; no " + next + " here"
}

// gains says what would be gained elsewhere. What was measured here comes from
// rows, the rest from kernelFacts.
func (m machine) gains(rows []speedRow) []string {
	if m.arch != "amd64" {
		return []string{"The kernels that are faster than Go's libraries are for amd64; on " + m.arch + " objseal takes the path of Go's libraries."}
	}
	var sentences []string
	for _, c := range aead.Ciphers {
		if m.used(c) {
			sentences = append(sentences, m.gain(c, rows))
		}
	}
	return sentences
}

func (m machine) gain(c aead.Cipher, rows []speedRow) string {
	here := func(k aead.Kernel) float64 {
		for _, r := range rows {
			if r.Operation == sealPackage && r.Cipher == c.String() && r.Kernel == k.String() {
				return r.Ratio
			}
		}
		return 1
	}
	best := m.best[c]
	faster, off := m.faster(c)
	if len(faster) == 0 {
		s := fmt.Sprintf("%v has its fastest kernel here and seals packages %.1f times as fast as Go's library does.", c, here(best))
		if slices.Contains(c.Kernels(), aead.AVX2) {
			s += fmt.Sprintf(" On a processor without AVX-512, avx2 would make it %.1f times, and avx on one without VAES %.1f times.", here(aead.AVX2), here(aead.AVX))
		}
		return s
	}
	where := "on a processor with " + faster[0].needs
	switch {
	case m.fips:
		where = "outside of FIPS 140-3 mode, " + where
	case m.purego:
		where = "in a build without the tag purego, " + where
	case len(off) > 0:
		faster, where = off, "without OBJSEAL_CPU"
	}
	var times []string
	for _, f := range faster {
		times = append(times, fmt.Sprintf("%.1f times with %v", f.elsewhere, f.kernel))
	}
	s := fmt.Sprintf("%v would be faster %s: against Go's library about %s (measured on an AMD EPYC Zen 5)", c, where, strings.Join(times, ", "))
	if best != aead.Generic {
		s += fmt.Sprintf("; here it is %.1f times", here(best))
	}
	return s + "."
}
