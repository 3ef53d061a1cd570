package stream_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/minio/sio"
	"github.com/objseal/objseal/stream"
)

// A vector is a line of testdata/vectors.txt.
type vector struct {
	version      byte
	cipher       stream.Cipher
	plain        []byte
	sealed       []byte // nil if only the hash is known
	size         int    // of sealed
	sealedSHA256 string
}

func (v vector) String() string {
	return fmt.Sprintf("version=%#x,cipher=%v,size=%d", v.version, v.cipher, len(v.plain))
}

func readVectors(t *testing.T) []vector {
	f, err := os.Open("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var vectors []vector
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.Fields(lines.Text())
		if len(line) == 0 || line[0] == "#" {
			continue
		}
		v := vector{
			version: byte(must(strconv.ParseUint(line[1], 0, 8))),
			cipher:  stream.AES256GCM + stream.Cipher(must(strconv.Atoi(line[2]))),
		}
		switch line[0] {
		case "stream":
			v.plain, v.sealed = unhex(line[3]), unhex(line[4])
			v.size, v.sealedSHA256 = len(v.sealed), fmt.Sprintf("%x", sha256.Sum256(v.sealed))
		case "sha256":
			v.plain = make([]byte, must(strconv.Atoi(line[3])))
			for i := range v.plain {
				v.plain[i] = byte(i % 251)
			}
			v.size, v.sealedSHA256 = must(strconv.Atoi(line[4])), line[5]
		default:
			t.Fatalf("unknown line %q", line[0])
		}
		vectors = append(vectors, v)
	}
	if len(vectors) != 28 {
		t.Fatalf("%d vectors, want 28", len(vectors))
	}
	return vectors
}

func TestVectors(t *testing.T) {
	key := unhex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	nonce := [12]byte(unhex("a0a1a2a3a4a5a6a7a8a9aaab"))
	defer stream.FixNonce(nonce)()
	for _, v := range readVectors(t) {
		t.Run(v.String(), func(t *testing.T) {
			check := func(who string, sealed []byte) {
				t.Helper()
				if v.sealed != nil {
					equal(t, who, sealed, v.sealed)
				}
				if sum := sha256.Sum256(sealed); len(sealed) != v.size || hex.EncodeToString(sum[:]) != v.sealedSHA256 {
					t.Fatalf("%s: %d bytes with SHA-256 %x; want %d, %s", who, len(sealed), sum, v.size, v.sealedSHA256)
				}
			}
			o := &stream.Options{Cipher: v.cipher}
			if v.version == sio.Version10 { // we read it only: sio writes
				var out bytes.Buffer
				must(sio.Encrypt(&out, bytes.NewReader(v.plain), sio.Config{
					MinVersion: v.version, MaxVersion: v.version, Key: key, Nonce: &nonce,
					CipherSuites: []byte{byte(v.cipher - stream.AES256GCM)},
				}))
				v.sealed, o.AllowLegacy = out.Bytes(), true
				check("sio", v.sealed)
			} else {
				for _, step := range []int{1000, 65568, 1 << 20} {
					for _, e := range encrypters {
						sealed, err := e.run(key, v.plain, o, step)
						if err != nil {
							t.Fatalf("%s: %v", e.name, err)
						}
						check(e.name, sealed)
						v.sealed = sealed
					}
				}
			}
			for _, step := range []int{1000, 65568, 1 << 20} {
				for _, d := range decrypters {
					got, err := d.run(key, v.sealed, o, step)
					if err != nil {
						t.Fatalf("%s: %v", d.name, err)
					}
					equal(t, d.name, got, v.plain)
				}
			}
		})
	}
}
