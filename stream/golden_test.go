package stream_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/objseal/objseal/stream"
)

// goldenCase is an entry of testdata/golden-f/manifest.json; see the README there.
type goldenCase struct {
	File             string
	DareVersion      string `json:"dare_version"`
	KeyBase64        string `json:"key_base64"`
	SequenceNumber   uint32 `json:"sequence_number"`
	CiphertextSHA256 string `json:"ciphertext_sha256"`
	Plaintext        struct{ Rule, Seed string }
	PlaintextSize    int    `json:"plaintext_size"`
	PlaintextSHA256  string `json:"plaintext_sha256"`
	Valid            bool
	What             string
	Mutation         *struct {
		Op           string
		Offset, Mask int
		Length       int
		Hex          string
	}
}

func (c *goldenCase) String() string {
	name := strings.TrimSuffix(strings.TrimPrefix(c.File, "streams/"), ".dare")
	if c.What != "" {
		name += "," + c.What
	}
	return name
}

// mutate applies the damage to a copy of the stream.
func (c *goldenCase) mutate(sealed []byte) []byte {
	sealed = bytes.Clone(sealed)
	if m := c.Mutation; m != nil {
		switch m.Op {
		case "xor":
			sealed[m.Offset] ^= byte(m.Mask)
		case "truncate":
			sealed = sealed[:m.Length]
		case "append":
			sealed = append(sealed, unhex(m.Hex)...)
		default:
			panic("unknown mutation " + m.Op)
		}
	}
	return sealed
}

func readGolden(t *testing.T) (cases []goldenCase, files map[string][]byte) {
	var manifest struct{ Streams []goldenCase }
	if err := json.Unmarshal(must(os.ReadFile("testdata/golden-f/manifest.json")), &manifest); err != nil {
		t.Fatal(err)
	}
	f := must(os.Open("testdata/golden-f/streams.tar.gz"))
	defer f.Close()
	files = map[string][]byte{}
	for tr := tar.NewReader(must(gzip.NewReader(f))); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = must(io.ReadAll(tr))
	}
	if len(manifest.Streams) != 61 {
		t.Fatalf("%d golden cases, want 61", len(manifest.Streams))
	}
	return manifest.Streams, files
}

// goldenKinds are the kinds of what the manifest says sio refuses. The case
// without a name is the empty stream of 2.0. There is none that sio accepts and
// that must be refused: a 1.0 stream cut between packages is valid in that format.
var goldenKinds = map[string]error{
	"":                              stream.ErrTruncated,
	"flip-payload-first-package":    stream.ErrTampered,
	"flip-tag-last-package":         stream.ErrTampered,
	"nonce-changed":                 stream.ErrTampered,
	"trailing-garbage":              stream.ErrTampered,
	"truncated-after-first-package": stream.ErrTruncated,
	"truncated-inside-header":       stream.ErrTruncated,
}

func TestGolden(t *testing.T) {
	cases, files := readGolden(t)
	for _, c := range cases {
		t.Run(c.String(), func(t *testing.T) {
			sealed := c.mutate(files[c.File])
			if sum := sha256.Sum256(sealed); fmt.Sprintf("%x", sum) != c.CiphertextSHA256 {
				t.Fatalf("the test's stream has SHA-256 %x", sum)
			}
			if c.Plaintext.Rule != "sha256ctr" {
				t.Fatalf("unknown rule %s", c.Plaintext.Rule)
			}
			key := must(base64.StdEncoding.DecodeString(c.KeyBase64))
			plain := sha256ctr(c.Plaintext.Seed, 1<<17)
			o := &stream.Options{
				Sequence:    c.SequenceNumber,
				AllowLegacy: c.DareVersion == "1.0" || c.Mutation != nil,
				AllowEmpty:  c.Valid,
			}
			for _, d := range decrypters {
				for _, step := range []int{1, 1000, 65568} {
					if !affordable(len(sealed), step) {
						continue
					}
					got, err := d.run(key, sealed, o, step)
					if c.Valid {
						if err != nil {
							t.Fatalf("%s,step=%d: %v", d.name, step, err)
						}
						if sum := sha256.Sum256(got); len(got) != c.PlaintextSize || fmt.Sprintf("%x", sum) != c.PlaintextSHA256 {
							t.Fatalf("%s,step=%d: %d bytes with SHA-256 %x", d.name, step, len(got), sum)
						}
						continue
					}
					if want := goldenKinds[c.What]; want == nil || !errors.Is(err, want) {
						t.Fatalf("%s,step=%d: error %v, want %v", d.name, step, err, want)
					}
					if !bytes.HasPrefix(plain, got) {
						t.Fatalf("%s,step=%d: bytes that are not of the plaintext were handed out", d.name, step)
					}
				}
				o := &stream.Options{Sequence: c.SequenceNumber}
				_, err := d.run(key, sealed, o, 1000)
				switch {
				case c.DareVersion == "1.0" && len(sealed) > 0:
					// A size that no 2.0 stream has may be seen first.
					if !errors.Is(err, stream.ErrUnsupported) && !(errors.Is(err, stream.ErrTruncated) && c.What == "truncated-inside-header") {
						t.Fatalf("%s: DARE 1.0 without AllowLegacy: error %v", d.name, err)
					}
				case len(sealed) == 0:
					if !errors.Is(err, stream.ErrTruncated) {
						t.Fatalf("%s: empty without AllowEmpty: error %v", d.name, err)
					}
				case c.Valid != (err == nil):
					t.Fatalf("%s: with default options: error %v", d.name, err)
				}
			}
		})
	}
}

func sha256ctr(seed string, n int) []byte {
	var b []byte
	for i := uint64(0); len(b) < n; i++ {
		h := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(seed), i))
		b = append(b, h[:]...)
	}
	return b[:n]
}
