//go:build !purego

// Go's FIPS 140-3 mode does not start with the tag purego.

package sse_test

import (
	"bytes"
	"crypto/fips140"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/objseal/objseal/internal/cpu"
	"github.com/objseal/objseal/sse"
	"github.com/objseal/objseal/stream"
)

// fipsMode is set in the process that TestFIPS starts for each FIPS 140-3 mode,
// as a process cannot change its own.
const fipsMode = "OBJSEAL_TEST_FIPS"

// atRest is a sealed object on its way to that process.
type atRest struct {
	Stored sse.Stored
	Data   []byte
	Level  map[string]sse.Level // by mode
}

func TestFIPS(t *testing.T) {
	if mode := os.Getenv(fipsMode); mode != "" {
		inFIPS(t, mode)
		return
	}
	if !cpu.Has(cpu.AES) {
		t.Skip("the ciphers chosen by this processor are not the mode's: it would refuse the sealed keys")
	}
	r := sse.Request{Method: sse.C, CustomerKey: customerKey(t, 1)}
	objects := map[string]atRest{}
	for name, o := range map[string]struct {
		sse.EncryptOptions
		only sse.Level
	}{
		"MD5":    {sse.EncryptOptions{}, sse.Packages}, // the mode has no MD5
		"SHA1":   {sse.EncryptOptions{Policy: sse.ETagRandom, Checksum: sse.SHA1}, sse.Packages},
		"SHA256": {sse.EncryptOptions{Checksum: sse.SHA256}, sse.Content},
		"CRC32C": {sse.EncryptOptions{Checksum: sse.CRC32C}, sse.Content},
	} {
		o.Cipher = stream.AES256GCM
		plain := []byte("data")
		s := seal(t, nil, r, object, plain, &o.EncryptOptions)
		objects[name] = atRest{s.Stored, s.data, map[string]sse.Level{"on": sse.Content, "only": o.only}}
	}
	m, err := sse.NewMultipart(background, nil, r, object)
	if err != nil {
		t.Fatal(err)
	}
	objects["multipart"] = atRest{Stored: sse.Stored{Metadata: m.Metadata()}}
	var input bytes.Buffer // not JSON: metadata holds binary values
	if err := gob.NewEncoder(&input).Encode(objects); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"on", "only"} {
		t.Run("fips140="+mode, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestFIPS$", "-test.v")
			cmd.Env = append(os.Environ(), fipsMode+"="+mode, "GODEBUG=fips140="+mode)
			cmd.Stdin = bytes.NewReader(input.Bytes())
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "FIPS mode "+mode+" was tested") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// inFIPS opens and reads in both modes. In the stricter one nothing can be
// sealed, and nothing panics.
func inFIPS(t *testing.T, mode string) {
	var objects map[string]atRest
	if err := gob.NewDecoder(os.Stdin).Decode(&objects); err != nil {
		t.Fatal(err)
	}
	open := &sse.OpenOptions{CustomerKey: customerKey(t, 1)}
	refused := func(what string, err error) {
		t.Helper()
		if mode == "on" && err != nil || mode == "only" && (!errors.Is(err, stream.ErrFIPS) || sse.KindOf(err) != sse.KindUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for name, o := range objects {
		if name == "multipart" {
			continue
		}
		s := sealed{Stored: o.Stored, data: o.Data}
		if got, i, err := s.read(s.mustOpen(t, nil, object, open), sse.Whole); err != nil || string(got) != "data" || i.Level != o.Level[mode] {
			t.Errorf("%s: read %q, %+v, %v; want level %s", name, got, i, err, o.Level[mode])
		}
		_, err := sse.Rewrap(background, nil, object, o.Stored.Metadata, sse.Request{CustomerKey: customerKey(t, 2)}, open)
		refused("Rewrap", err)
	}

	m, err := sse.ResumeMultipart(background, nil, object, objects["multipart"].Stored.Metadata, open)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Part(background, 1, strings.NewReader(""), nil)
	refused("Part", err)
	md, err := m.Complete([]sse.CompletedPart{{Number: 1, ETag: "d41d8cd98f00b204e9800998ecf8427e"}})
	if want := "59adb24ef3cdbe0297f05b395827453f-1"; err != nil || md["etag"] != want {
		t.Errorf("ETag %q, %v; want %q", md["etag"], err, want)
	}

	h := http.Header{}
	for k, v := range customerHeaders("0123456789abcdef0123456789abcdef") {
		h.Set(k, v)
	}
	r, err := sse.ParseRequest(sse.PutObject, object, h, nil)
	if err != nil || r.Method != sse.C {
		t.Errorf("ParseRequest: %v, %v", r.Method, err)
	}
	_, err = sse.Encrypt(background, nil, r, object, strings.NewReader(""), nil)
	refused("Encrypt", err)

	// What is not encrypted has its MD5 and its checksum in both.
	for _, checksum := range sse.ChecksumTypes() {
		u, err := sse.EncryptAny(background, nil, sse.Request{}, object, strings.NewReader("data"), &sse.EncryptOptions{Checksum: checksum, Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		_, err = u.WriteTo(io.Discard)
		if sum := fmt.Sprintf("%x", md5Sum("data")); err != nil || u.ETag() != sum {
			t.Errorf("plaintext: ETag %q, %v; want %q", u.ETag(), err, sum)
		}
		var want []byte
		fips140.WithoutEnforcement(func() { want = sumOf(checksum, []byte("data")) })
		if got := u.Checksum().Value; !bytes.Equal(got, want) {
			t.Errorf("plaintext: %v %x, want %x", checksum, got, want)
		}
	}
	t.Logf("FIPS mode %s was tested", mode)
}
