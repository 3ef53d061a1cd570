//go:build !purego

// Go's FIPS 140-3 mode does not start with the tag purego.

package stream_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/objseal/objseal/internal/cpu"
	"github.com/objseal/objseal/stream"
)

// fipsMode is set in the process that TestFIPS starts for each FIPS 140-3 mode,
// as a process cannot change its own.
const fipsMode = "OBJSEAL_TEST_FIPS"

func TestFIPS(t *testing.T) {
	if mode := os.Getenv(fipsMode); mode != "" {
		inFIPS(t, mode)
		return
	}
	plain := plaintext(70000)
	for _, mode := range []string{"on", "only"} {
		t.Run("fips140="+mode, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestFIPS$", "-test.v")
			cmd.Env = append(os.Environ(), fipsMode+"="+mode, "GODEBUG=fips140="+mode)
			cmd.Stdin = bytes.NewReader(concat(
				seal(t, plain, &stream.Options{Cipher: stream.AES256GCM}),
				seal(t, plain, &stream.Options{Cipher: stream.ChaCha20Poly1305})))
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "FIPS mode "+mode+" was tested") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// inFIPS gets two streams of the same plaintext: AES-256-GCM, ChaCha20-Poly1305.
func inFIPS(t *testing.T, mode string) {
	defer cpu.Disable(cpu.AES)() // CipherAuto is AES all the same
	plain := plaintext(70000)
	both := must(io.ReadAll(os.Stdin))
	aes, chacha := both[:len(both)/2], both[len(both)/2:]
	for _, d := range decrypters {
		for _, step := range []int{1000, 65536, 1 << 20} {
			got, err := d.run(testKey, aes, nil, step)
			if err != nil {
				t.Errorf("%s: %v", d.name, err)
			}
			equal(t, d.name, got, plain)

			for _, i := range []int{4, 20, 65567, len(aes) - 1} {
				bad := bytes.Clone(aes)
				bad[i] ^= 1
				if got, err := d.run(testKey, bad, nil, step); !errors.Is(err, stream.ErrTampered) || !bytes.HasPrefix(plain, got) {
					t.Errorf("%s of a stream with byte %d changed: %d bytes, %v", d.name, i, len(got), err)
				}
			}
			got, err = d.run(testKey, chacha, nil, step)
			if len(got) > 0 || !errors.Is(err, stream.ErrFIPS) || !errors.Is(err, stream.ErrUnsupported) {
				t.Errorf("%s of ChaCha20-Poly1305: %d bytes, %v", d.name, len(got), err)
			}
		}
	}
	legacy := unhex("1000020000000000a0a1a2a3a4a5a6a7b0b54b8af005afd7f289c9fcb41aee76d81f80")
	key := unhex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	if got, err := stream.Open(nil, key, legacy, &stream.Options{AllowLegacy: true}); string(got) != "aaa" {
		t.Errorf("DARE 1.0: %s, %v", hex.EncodeToString(got), err)
	}
	for _, c := range []stream.Cipher{stream.CipherAuto, stream.AES256GCM, stream.ChaCha20Poly1305} {
		for _, e := range encrypters {
			sealed, err := e.run(testKey, plain, &stream.Options{Cipher: c}, 1000)
			if mode == "only" || c == stream.ChaCha20Poly1305 {
				if len(sealed) > 0 || !errors.Is(err, stream.ErrFIPS) || !errors.Is(err, stream.ErrUnsupported) {
					t.Errorf("%s, %v: %d bytes, %v", e.name, c, len(sealed), err)
				}
				continue
			}
			if err != nil || sealed[1] != 0 {
				t.Errorf("%s, %v: %v", e.name, c, err)
			}
			equal(t, e.name, must(stream.Open(nil, testKey, sealed, nil)), plain)
		}
	}
	fmt.Println("FIPS mode", mode, "was tested")
}
